//! `cranewing.placement.v1.Placement`, by gRPC.

use axum::Router;
use std::sync::Arc;
use tonic::{Request, Response, Status, async_trait};

use super::proto::placement_server::{self, PlacementServer, SERVICE_NAME};
use super::proto::{PlaceRequest, PlaceResponse};
use super::{Placement, Refused};

pub(super) fn routes(placement: Arc<Placement>) -> Router {
    Router::new().route_service(&format!("/{SERVICE_NAME}/{{*method}}"), PlacementServer::from_arc(placement))
}

#[async_trait]
impl placement_server::Placement for Placement {
    async fn place(&self, request: Request<PlaceRequest>) -> Result<Response<PlaceResponse>, Status> {
        Ok(Response::new(self.answer(request.get_ref())?))
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let (.., code) = refused.codes();
        Self::new(code, refused.to_string())
    }
}
