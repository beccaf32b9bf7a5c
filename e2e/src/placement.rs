//! Asking a region where players go, as a matchmaker does.

use operator_api::labels::PLACEMENT_SERVICE;
use serde_json::Value;

use crate::region::{OPERATOR_NAMESPACE, Region};

/// What the operator of region `at` answers; or why it does not.
pub async fn place(at: &Region, request: &Value) -> Result<Value, String> {
    let service = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/services/{PLACEMENT_SERVICE}:placement");
    let post = http::Request::post(format!("{service}/proxy/v1/place"));
    let post = post.header(http::header::CONTENT_TYPE, "application/json");
    let post = post.body(request.to_string().into_bytes()).map_err(|error| error.to_string())?;
    at.client.request(post).await.map_err(|error| error.to_string())
}

/// What an answer says of a region; null if nothing.
pub fn of<'a>(answer: &'a Value, region: &str) -> &'a Value {
    let regions = answer["regions"].as_array().into_iter().flatten();
    regions.into_iter().find(|found| found["region"] == region).unwrap_or(&Value::Null)
}
