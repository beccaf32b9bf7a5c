//! `POST /v1/allocate`, in JSON.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use std::sync::Arc;

use super::proto::{AllocateRequest, AllocateResponse};
use super::service::Fault;
use super::{Door, Refused, bearer};

pub(super) fn routes(door: Arc<Door>) -> Router {
    Router::new().route("/v1/allocate", post(allocate)).with_state(door)
}

async fn allocate(
    State(door): State<Arc<Door>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<AllocateResponse>, Refused> {
    let request = read(&body);
    Ok(Json(door.answer(bearer(&headers), request.as_ref().map_err(Clone::clone)).await?))
}

fn read(body: &[u8]) -> Result<AllocateRequest, Fault> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let request = serde_path_to_error::deserialize(&mut json).map_err(|error| Fault {
        field: error.path().to_string(),
        message: error.into_inner().to_string(),
    })?;
    json.end().map_err(|error| Fault { field: ".".to_owned(), message: error.to_string() })?;
    Ok(request)
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
