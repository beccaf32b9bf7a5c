//! `POST /v1/place`, in JSON.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use std::sync::Arc;

use super::proto::PlaceResponse;
use super::{Placement, Refused};
use crate::runtime::http::{read_json, refusal};

pub(super) fn routes(placement: Arc<Placement>) -> Router {
    Router::new().route("/v1/place", post(place)).with_state(placement)
}

async fn place(State(placement): State<Arc<Placement>>, body: Bytes) -> Result<Json<PlaceResponse>, Refused> {
    Ok(Json(placement.answer(&read_json(&body)?)?))
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (_, status, _) = self.codes();
        let fault = if let Self::Invalid(fault) = &self { Some(fault) } else { None };
        refusal(status, fault, &self)
    }
}
