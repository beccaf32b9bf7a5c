//! `cranewing.allocation.v1.Allocation`, by gRPC.

use axum::Router;
use std::sync::Arc;
use tonic::{Request, Response, Status, async_trait};

use super::proto::allocation_server::{self, AllocationServer, SERVICE_NAME};
use super::proto::{AllocateRequest, AllocateResponse};
use super::{Door, Refused};

pub(super) fn routes(door: Arc<Door>) -> Router {
    Router::new().route_service(&format!("/{SERVICE_NAME}/{{*method}}"), AllocationServer::from_arc(door))
}

#[async_trait]
impl allocation_server::Allocation for Door {
    async fn allocate(
        &self,
        request: Request<AllocateRequest>,
    ) -> Result<Response<AllocateResponse>, Status> {
        let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.strip_prefix("Bearer "));
        Ok(Response::new(self.answer(token, Ok(request.get_ref())).await?))
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let (.., code) = refused.codes();
        Self::new(code, refused.to_string())
    }
}
