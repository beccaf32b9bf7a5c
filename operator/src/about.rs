//! Whom a line of the log is about.

use kube::{Resource, ResourceExt};
use operator_api::labels;
use tracing::{Span, error_span};

/// The span of everything that is done for an object; its fields are on every line that is written in it. Game servers
/// use the same names in their own logs. It is an error's span, so that no filter takes the fields from a line that
/// it lets through.
pub(crate) fn about<K: Resource<DynamicType = ()>>(object: &K) -> Span {
    let kind = K::kind(&());
    let name = object.name_any();
    let label = object.labels().get(labels::FLEET).map(String::as_str);
    let fleet = if kind == "Fleet" { Some(name.as_str()) } else { label };
    error_span!(
        "about",
        kind = &*kind,
        namespace = object.namespace(),
        object = name,
        uid = object.uid(),
        fleet
    )
}
