//! The control API, on a port of its own: what there is, which calls fail, and what time it is.
//!
//! | Request | What it does |
//! |---|---|
//! | `GET /state` | the simulated time, streams, shards, bytes, as JSON |
//! | `PUT /faults` | puts a fault script, in TOML, in the place of the one in force |
//! | `DELETE /faults` | no call fails by a rule any more |
//! | `POST /clock` | moves the simulated clock forward by the duration in the body, such as `25h` |

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};

use super::front::Front;
use super::script;
use crate::dev::DevError;

/// The routes.
pub(super) fn router(front: Arc<Front>) -> Router {
    Router::new()
        .route("/state", get(state))
        .route("/faults", put(set_faults).delete(end_faults))
        .route("/clock", post(advance))
        .with_state(front)
}

async fn state(State(front): State<Arc<Front>>) -> Response {
    let state = front.state().to_string();
    ([(header::CONTENT_TYPE, "application/json")], state).into_response()
}

async fn set_faults(State(front): State<Arc<Front>>, text: String) -> Response {
    match script::rules(&text) {
        Ok(rules) => {
            front.set_faults(rules);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn end_faults(State(front): State<Arc<Front>>) -> StatusCode {
    front.set_faults(Vec::new());
    StatusCode::NO_CONTENT
}

async fn advance(State(front): State<Arc<Front>>, text: String) -> Response {
    match humantime::parse_duration(text.trim()) {
        Ok(duration) => match front.advance(duration).await {
            Ok(()) => state(State(front)).await,
            Err(error @ DevError::TooFar { .. }) => {
                (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()
            }
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        },
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}
