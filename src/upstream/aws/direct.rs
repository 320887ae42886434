//! GetRecords on a path of our own: signed here and sent by the SDK's own connector, without the
//! orchestrator in between, whose work for one call costs more than a small page.
//!
//! What the path needs it learns from a call that the SDK made: where that went, what was signed
//! and for whom, and which parts (credentials and their cache, connections, clock) the SDK used for
//! it. It is taken only if [`template`] signs that very request to the same signature.
//!
//! A whole and correct page is all that it believes in. Any other answer is told as the SDK would
//! tell it, and the same call comes by way of the SDK when the caller, who pays for it, repeats it
//! ([`detours`]). Nothing is repeated here.

mod answer;
mod clock_skew;
mod detours;
mod lesson;
mod template;

use std::sync::Arc;

use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsError;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::model::Timestamp;

use clock_skew::ClockSkew;
use detours::Detours;
use template::Template;

pub(super) use lesson::Lesson;

/// What a call comes to, as the SDK would say it. A body, and AWS's time; `None` for an answer
/// that is no error and no page.
pub(super) type Told = Result<Option<(Bytes, Option<Timestamp>)>, Refused>;

/// Why there is no page, in the SDK's words.
type Refused = SdkError<GetRecordsError, HttpResponse>;

/// The path of one client. A cheap clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct DirectPath(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    learned: Mutex<Learned>,
    detours: Mutex<Detours>,
    skew: ClockSkew,
}

#[derive(Debug)]
enum Learned {
    /// Nothing yet.
    Nothing,
    /// All it needs.
    Template(Arc<Template>),
    /// That the SDK does something here that the path cannot, or that the path is not wanted.
    Off,
}

impl DirectPath {
    /// A path that has still to learn, if it is `wanted`.
    pub(super) fn new(wanted: bool) -> Self {
        let learned = if wanted { Learned::Nothing } else { Learned::Off };
        Self(Arc::new(Shared {
            learned: Mutex::new(learned),
            detours: Mutex::default(),
            skew: ClockSkew::default(),
        }))
    }

    /// One call on this path; `None` when it has to be made by the SDK: then nothing was sent.
    ///
    /// Cancel-safe: a call that is dropped closes its connection, as one of the SDK does.
    pub(super) async fn get_records(&self, iterator: &str, limit: i32) -> Option<Told> {
        let template = match &*self.0.learned.lock() {
            Learned::Template(template) => template.clone(),
            Learned::Nothing | Learned::Off => return None,
        };
        if self.0.detours.lock().is_due(iterator) {
            return None;
        }
        let skewed = self.0.skew.millis();
        let (told, is_page) = match self.attempt(&template, iterator, limit).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, "the SDK makes the call: it cannot be signed");
                return None;
            }
        };
        let mut detours = self.0.detours.lock();
        match is_page {
            true => detours.worked(),
            // The clock was wrong and is mended now; the SDK's own idea of it may be older.
            false if self.0.skew.has_moved_since(skewed) => {}
            false => detours.failed(iterator),
        }
        Some(told)
    }

    /// The call within its time, and whether it came to a page. `Err`: nothing was sent.
    async fn attempt(
        &self,
        template: &Template,
        iterator: &str,
        limit: i32,
    ) -> Result<(Told, bool), BoxError> {
        let call = async {
            let request = template.request(iterator, limit, &self.0.skew).await?;
            Ok(answer::of(template, request, &self.0.skew).await)
        };
        match template.time() {
            Some(time) => tokio::time::timeout(time, call)
                .await
                .unwrap_or_else(|late| Ok((Err(SdkError::timeout_error(late)), false))),
            None => call.await,
        }
    }

    /// What listens to a call of the SDK, while there is something to learn.
    pub(super) fn lesson(&self) -> Option<Lesson> {
        matches!(&*self.0.learned.lock(), Learned::Nothing).then(Lesson::default)
    }

    /// Learns from a call of the SDK that came to a page.
    pub(super) async fn learn(&self, lesson: &Lesson) {
        let Some(heard) = lesson.take() else { return };
        let template = Template::from(heard).await;
        let mut learned = self.0.learned.lock();
        if !matches!(&*learned, Learned::Nothing) {
            return;
        }
        match template {
            Ok(Some(template)) => *learned = Learned::Template(Arc::new(template)),
            Ok(None) => {}
            Err(why) => {
                tracing::info!(%why, "all calls of GetRecords are left to the AWS SDK");
                *learned = Learned::Off;
            }
        }
    }
}
