//! `POST /v1/allocate`, in JSON.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use std::sync::Arc;

use super::proto::AllocateResponse;
use super::{Door, Refused, bearer};
use crate::runtime::http::{read_json, refusal};

pub(super) fn routes(door: Arc<Door>) -> Router {
    Router::new().route("/v1/allocate", post(allocate)).with_state(door)
}

async fn allocate(
    State(door): State<Arc<Door>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<AllocateResponse>, Refused> {
    let request = read_json(&body);
    Ok(Json(door.answer(bearer(&headers), request.as_ref().map_err(Clone::clone)).await?))
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (_, status, _) = self.codes();
        let fault = if let Self::Invalid(fault) = &self { Some(fault) } else { None };
        refusal(status, fault, &self)
    }
}
