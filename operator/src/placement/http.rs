//! `POST /v1/place`, in JSON.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use std::sync::Arc;

use super::proto::{PlaceRequest, PlaceResponse};
use super::service::Fault;
use super::{Placement, Refused};

pub(super) fn routes(placement: Arc<Placement>) -> Router {
    Router::new().route("/v1/place", post(place)).with_state(placement)
}

async fn place(State(placement): State<Arc<Placement>>, body: Bytes) -> Result<Json<PlaceResponse>, Refused> {
    Ok(Json(placement.answer(&read(&body)?)?))
}

fn read(body: &[u8]) -> Result<PlaceRequest, Fault> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let request = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| Fault { field: error.path().to_string(), message: describe(&error.into_inner()) })?;
    json.end().map_err(|error| Fault { field: ".".to_owned(), message: error.to_string() })?;
    Ok(request)
}

/// Where something is stands in the path, and in what was sent only where that is no JSON: a client wraps what it was given.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let bare = text.strip_suffix(&place).filter(|_| error.is_data());
    bare.unwrap_or(&text).to_owned()
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (_, status, _) = self.codes();
        let said = match self {
            Self::Invalid(Fault { field, message }) => json!({ "field": field, "message": message }),
            _ => json!({ "message": self.to_string() }),
        };
        (status, Json(said)).into_response()
    }
}
