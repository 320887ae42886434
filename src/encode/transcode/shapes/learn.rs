//! Cuts a record that was accepted into the steps of its shape.

use super::constants::{Constants, Rendered};
use super::state::State;
use super::step::{LengthBefore, MOST_MARKS, Mark, Step, Then, WIDTH};
use crate::encode::transcode::Refused;
use crate::encode::transcode::json_scanner::Scanner;
use crate::encode::transcode::meta::UserIdentity;
use crate::encode::transcode::record::{KEY, NEW_IMAGE, OLD_IMAGE};

/// A record of more steps is not learned.
const MOST_STEPS: usize = 1_024;

/// What is learned of a record.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    pub drafts: Vec<Draft>,
    /// The constants of its states.
    pub constants: Vec<Rendered>,
}

/// A step that is not in the graph yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub step: Step,
    pub before: State,
    pub after: State,
    /// Its JSON continues that of the step before.
    pub is_further_piece: bool,
}

/// A record on the way to a lesson.
pub(super) struct Learner<'a> {
    text: &'a [u8],
    /// Where the JSON that is in no step yet begins.
    literal: usize,
    /// What is to be written for it.
    pub out: Vec<u8>,
    marks: Vec<(bool, usize)>,
    pub state: State,
    /// The state after the last step.
    before: State,
    constants: Constants<'a>,
    lesson: Lesson,
}

/// Learns a record that the general transcoder accepted. Refused where it has what is not learned:
/// unknown fields and names, nulls, names with escapes, many levels.
pub(super) fn learn(record: &[u8]) -> Result<Lesson, Refused> {
    let mut learner = Learner {
        text: record,
        literal: 0,
        out: Vec::new(),
        marks: Vec::new(),
        state: State::default(),
        before: State::default(),
        constants: Constants::default(),
        lesson: Lesson { constants: vec![Rendered::default()], ..Lesson::default() },
    };
    let mut scan = Scanner::over(record);
    learner.record(&mut scan)?;
    learner.step(&scan, Then::End, &[])?;
    Ok(learner.lesson)
}

impl<'a> Learner<'a> {
    fn record(&mut self, scan: &mut Scanner<'a>) -> Result<(), Refused> {
        scan.object(|scan, key| match key.plain()? {
            b"eventID" => self.first(0).and_then(|()| self.text(scan, Then::EventId, &[])),
            b"eventName" => self.constant(1, scan, |all| &mut all.name),
            b"eventVersion" => self.constant(2, scan, |all| &mut all.version),
            b"eventSource" => self.constant(3, scan, |all| &mut all.source),
            b"awsRegion" => self.constant(4, scan, |all| &mut all.region),
            b"userIdentity" => self.identity(scan),
            b"dynamodb" => {
                self.first(6)?;
                self.state.in_change = true;
                self.change(scan)?;
                self.state.in_change = false;
                Ok(())
            }
            _ => Err(Refused),
        })
    }

    fn change(&mut self, scan: &mut Scanner<'a>) -> Result<(), Refused> {
        scan.object(|scan, key| match key.plain()? {
            b"ApproximateCreationDateTime" => {
                self.first(7).and_then(|()| self.number(scan, Then::CreatedAt))
            }
            b"SizeBytes" => self.first(8).and_then(|()| self.number(scan, Then::SizeBytes)),
            b"SequenceNumber" => {
                self.first(9).and_then(|()| self.text(scan, Then::SequenceNumber, &[]))
            }
            b"StreamViewType" => self.constant(10, scan, |all| &mut all.view),
            b"Keys" => self.image(11, scan, KEY),
            b"NewImage" => self.image(12, scan, NEW_IMAGE),
            b"OldImage" => self.image(13, scan, OLD_IMAGE),
            _ => Err(Refused),
        })
    }

    fn image(&mut self, bit: u16, scan: &mut Scanner<'a>, tag: u8) -> Result<(), Refused> {
        self.first(bit)?;
        self.state.image = tag;
        self.item(scan, tag)?;
        self.state.image = 0;
        Ok(())
    }

    fn identity(&mut self, scan: &mut Scanner<'a>) -> Result<(), Refused> {
        self.first(5)?;
        let mut who = UserIdentity::default();
        scan.object(|scan, key| {
            let into = match key.plain()? {
                b"Type" => &mut who.kind,
                b"PrincipalId" => &mut who.principal_id,
                _ => return Err(Refused),
            };
            *into = Some(scan.text()?.plain()?);
            Ok(())
        })?;
        self.constants.identity = Some(who);
        self.render()
    }

    /// A text that is part of the shape. What follows it is steps of their own, so that not every
    /// combination of constants needs its own.
    fn constant(
        &mut self,
        bit: u16,
        scan: &mut Scanner<'a>,
        field: impl for<'f> Fn(&'f mut Constants<'a>) -> &'f mut Option<&'a [u8]>,
    ) -> Result<(), Refused> {
        self.first(bit)?;
        *field(&mut self.constants) = Some(scan.text()?.plain()?);
        self.render()?;
        self.step(scan, Then::Next, &[])
    }

    fn render(&mut self) -> Result<(), Refused> {
        self.lesson.constants.push(self.constants.render()?);
        self.state.constants = (self.lesson.constants.len() - 1) as u8;
        Ok(())
    }

    fn first(&mut self, bit: u16) -> Result<(), Refused> {
        let before = self.state.fields;
        self.state.fields |= 1 << bit;
        if self.state.fields == before { Err(Refused) } else { Ok(()) }
    }

    /// A text that differs from record to record, behind lengths that are written already.
    pub(super) fn text(
        &mut self,
        scan: &mut Scanner<'a>,
        then: Then,
        lengths: &[LengthBefore],
    ) -> Result<(), Refused> {
        let mut inside = scan.clone();
        inside.expect(b'"')?;
        self.step(&inside, then, lengths)?;
        scan.text()?;
        // Its closing quote is part of the next step.
        self.literal = self.position(scan) - 1;
        Ok(())
    }

    fn number(&mut self, scan: &mut Scanner<'a>, then: Then) -> Result<(), Refused> {
        scan.peek()?;
        self.step(scan, then, &[])?;
        scan.number()?;
        self.literal = self.position(scan);
        Ok(())
    }

    fn position(&self, scan: &Scanner<'_>) -> usize {
        self.text.len() - scan.rest().len()
    }

    /// Writes room for a length, whose content begins here.
    pub(super) fn open(&mut self) {
        self.out.push(0);
        self.marks.push((false, self.out.len()));
    }

    /// Ends the content of the length opened last.
    pub(super) fn close(&mut self) {
        self.marks.push((true, self.out.len()));
    }

    /// Makes steps of the JSON up to the scanner's place.
    pub(super) fn step(
        &mut self,
        scan: &Scanner<'_>,
        then: Then,
        lengths: &[LengthBefore],
    ) -> Result<(), Refused> {
        let end = self.position(scan);
        let mut literal = &self.text[std::mem::replace(&mut self.literal, end)..end];
        let (mut out, mut marks) =
            (&*std::mem::take(&mut self.out), &*std::mem::take(&mut self.marks));
        let mut gone = 0;
        for piece in 0.. {
            let now = literal.len().min(WIDTH);
            // All is written with the last of the JSON: what is written for its first piece only
            // the others tell, and of steps with the same JSON only the first would be found.
            let is_whole = now == literal.len();
            let mut written = if is_whole { out.len().min(WIDTH) } else { 0 };
            let marked = marks.iter().filter(|_| is_whole);
            let mut count = marked.take_while(|(_, at)| at - gone <= written).count();
            if count > MOST_MARKS {
                (written, count) = (marks[MOST_MARKS].1 - gone, MOST_MARKS);
            }
            let all: Vec<Mark> = marks[..count]
                .iter()
                .map(|(is_end, at)| Mark { is_end: *is_end, at: (at - gone) as u8 })
                .collect();
            let mut step = Step::new(&literal[..now], &out[..written], &all);
            (literal, out, marks) = (&literal[now..], &out[written..], &marks[count..]);
            gone += written;
            let is_last = literal.is_empty() && out.is_empty() && marks.is_empty();
            if is_last {
                step = step.followed_by(then, lengths);
            }
            self.lesson.drafts.push(Draft {
                step,
                before: self.before,
                after: self.state,
                is_further_piece: piece > 0,
            });
            if is_last || self.lesson.drafts.len() > MOST_STEPS {
                break;
            }
        }
        self.before = self.state;
        if self.lesson.drafts.len() > MOST_STEPS { Err(Refused) } else { Ok(()) }
    }
}
