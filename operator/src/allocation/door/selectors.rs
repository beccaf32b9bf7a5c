//! Which servers are wanted and what is to be written on them, as callers say it: checked, and in the words of the core.

use operator_core::allocation::{Expression, Is, Selector};
use std::collections::{BTreeMap, BTreeSet};

use super::proto::{self, Operator};
use super::service::fault;
use crate::allocation::marks::Marks;
use crate::runtime::http::Fault;

// all of them at their longest are 43 KB, and what is asked for goes to another replica in a frame of 64
const LABELS_MAX: usize = 16;
const SELECTORS_MAX: usize = 4;
const EXPRESSIONS_MAX: usize = 4;
const VALUES_MAX: usize = 8;
const ANNOTATIONS_MAX: usize = 16;
/// With their names all of them are 21 KB.
const ANNOTATION_BYTES_MAX: usize = 1024;
/// Labels and annotations of this domain, and of those below it, are the operator's own.
const OWN_DOMAIN: &str = operator_api::GROUP;
/// Kubernetes' own limits of a label's prefix, and of its name and value.
const LABEL_PREFIX_MAX: usize = 253;
const LABEL_PART_MAX: usize = 63;

/// Labels that objects can have; `path` says where they stand.
pub(super) fn read_labels(path: &str, labels: &BTreeMap<String, String>) -> Result<(), Fault> {
    bound(path, labels.len(), 0..=LABELS_MAX)?;
    for (name, value) in labels {
        let path = format!("{path}.{name:.64}");
        check_name(&path, name)?;
        check_value(&path, value)?;
    }
    Ok(())
}

/// Selectors, best first; `path` says where they stand.
pub(super) fn read_selectors(path: &str, selectors: &[proto::Selector]) -> Result<Vec<Selector>, Fault> {
    check_count_of_selectors(path, selectors.len())?;
    let read = |(number, selector)| read_selector(&format!("{path}[{number}]"), selector);
    selectors.iter().enumerate().map(read).collect()
}

/// There may be as many as this.
pub(super) fn check_count_of_selectors(path: &str, count: usize) -> Result<(), Fault> {
    bound(path, count, 0..=SELECTORS_MAX)
}

pub(super) fn read_selector(path: &str, selector: &proto::Selector) -> Result<Selector, Fault> {
    read_labels(&format!("{path}.matchLabels"), &selector.match_labels)?;
    let expressions = format!("{path}.matchExpressions");
    bound(&expressions, selector.match_expressions.len(), 0..=EXPRESSIONS_MAX)?;
    let read = |(number, expression)| read_expression(&format!("{expressions}[{number}]"), expression);
    Ok(Selector {
        match_labels: selector.match_labels.clone(),
        match_expressions: selector
            .match_expressions
            .iter()
            .enumerate()
            .map(read)
            .collect::<Result<_, Fault>>()?,
    })
}

/// What is to be written on the server; `path` says where it stands.
pub(super) fn read_marks(
    path: &str,
    (labels, annotations): (&BTreeMap<String, String>, &BTreeMap<String, String>),
) -> Result<Marks, Fault> {
    let of_labels = format!("{path}.labels");
    read_labels(&of_labels, labels)?;
    let of_annotations = format!("{path}.annotations");
    bound(&of_annotations, annotations.len(), 0..=ANNOTATIONS_MAX)?;
    for (name, value) in annotations {
        let path = format!("{of_annotations}.{name:.64}");
        check_name(&path, name)?;
        if value.len() > ANNOTATION_BYTES_MAX {
            let length = value.len();
            return fault(
                path,
                format!("it must be of at most {ANNOTATION_BYTES_MAX} bytes, and is of {length}"),
            );
        }
    }
    for (path, name) in labels
        .keys()
        .map(|name| (&of_labels, name))
        .chain(annotations.keys().map(|name| (&of_annotations, name)))
    {
        if is_of_the_operator(name) {
            return fault(format!("{path}.{name:.64}"), format!("{OWN_DOMAIN} is the operator's own"));
        }
    }
    Ok(Marks { labels: labels.clone(), annotations: annotations.clone() })
}

fn is_of_the_operator(name: &str) -> bool {
    let domain = name.split_once('/').map_or("", |(domain, _)| domain);
    domain == OWN_DOMAIN || domain.strip_suffix(OWN_DOMAIN).is_some_and(|below| below.ends_with('.'))
}

fn read_expression(path: &str, expression: &proto::Expression) -> Result<Expression, Fault> {
    check_name(&format!("{path}.key"), &expression.key)?;
    let values = format!("{path}.values");
    for (number, value) in expression.values.iter().enumerate() {
        check_value(&format!("{values}[{number}]"), value)?;
    }
    let count = expression.values.len();
    let all = || expression.values.iter().cloned().collect::<BTreeSet<String>>();
    let is = match Operator::try_from(expression.operator) {
        Ok(Operator::In) => bound(&values, count, 1..=VALUES_MAX).map(|()| Is::In(all())),
        Ok(Operator::NotIn) => bound(&values, count, 1..=VALUES_MAX).map(|()| Is::NotIn(all())),
        Ok(Operator::Exists) => bound(&values, count, 0..=0).map(|()| Is::Present),
        Ok(Operator::DoesNotExist) => bound(&values, count, 0..=0).map(|()| Is::Absent),
        Ok(Operator::Unspecified) | Err(_) => {
            fault(format!("{path}.operator"), "it must be in, notIn, exists or doesNotExist")
        }
    };
    Ok(Expression { key: expression.key.clone(), is: is? })
}

fn bound(path: &str, count: usize, of: std::ops::RangeInclusive<usize>) -> Result<(), Fault> {
    if of.contains(&count) {
        return Ok(());
    }
    fault(path, format!("their number must be from {} to {}, and is {count}", of.start(), of.end()))
}

fn check_name(path: &str, name: &str) -> Result<(), Fault> {
    if is_label_name(name) {
        return Ok(());
    }
    fault(
        path,
        "no label is called so: at most 63 letters, digits and -_. that begin and end with a letter or digit; before them may be a \
         DNS name and a slash",
    )
}

fn check_value(path: &str, value: &str) -> Result<(), Fault> {
    if value.is_empty() || is_label_part(value) {
        return Ok(());
    }
    fault(
        path,
        "no label has this value: nothing, or at most 63 letters, digits and -_. that begin and end with a letter or digit",
    )
}

fn is_label_name(name: &str) -> bool {
    let (prefix, name) = name.split_once('/').map_or((None, name), |(prefix, name)| (Some(prefix), name));
    is_label_part(name) && prefix.is_none_or(is_dns_name)
}

fn is_dns_name(name: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(is_alphanumeric)
            && bytes.last().is_some_and(is_alphanumeric)
            && bytes.iter().all(|byte| is_alphanumeric(byte) || *byte == b'-')
    };
    name.len() <= LABEL_PREFIX_MAX && name.split('.').all(is_part)
}

fn is_label_part(text: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    text.len() <= LABEL_PART_MAX
        && bytes.first().is_some_and(is_alphanumeric)
        && bytes.last().is_some_and(is_alphanumeric)
        && bytes.iter().all(|byte| is_alphanumeric(byte) || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_what_an_object_can_have() {
        for (name, can) in [
            ("mode", true),
            ("cranewing.dev/fleet", true),
            ("a_b.c-d", true),
            ("", false),
            ("a b", false),
            ("-a", false),
            ("a.", false),
            ("/a", false),
            ("a/", false),
            ("a_b.dev/x", false),
            ("Example.com/x", false),
            ("a/b/c", false),
        ] {
            assert_eq!(is_label_name(name), can, "{name}");
        }
        assert!(is_label_name(&"n".repeat(63)) && !is_label_name(&"n".repeat(64)));
        let prefixed = |parts: usize| format!("{}dev/x", "p.".repeat(parts));
        assert!(is_label_name(&prefixed(125)) && !is_label_name(&prefixed(126)));
    }

    #[test]
    fn an_operator_has_the_values_that_it_needs_and_no_others() {
        let read = |operator: Operator, count: usize| {
            let values = (0..count).map(|number| format!("v{number}")).collect();
            let expression = proto::Expression { key: "mode".to_owned(), operator: operator.into(), values };
            read_expression("e", &expression).map_err(|fault| fault.field)
        };
        for (operator, count, wrong) in [
            (Operator::In, 1, None),
            (Operator::In, 8, None),
            (Operator::In, 0, Some("e.values")),
            (Operator::NotIn, 9, Some("e.values")),
            (Operator::Exists, 0, None),
            (Operator::DoesNotExist, 1, Some("e.values")),
            (Operator::Unspecified, 0, Some("e.operator")),
        ] {
            assert_eq!(read(operator, count).err().as_deref(), wrong, "{operator:?} of {count}");
        }
    }

    #[test]
    fn what_is_written_on_a_server_is_what_an_object_can_have_and_none_of_the_operators_own() {
        let of = |names: &[(&str, usize)]| -> BTreeMap<String, String> {
            names.iter().map(|(name, length)| ((*name).to_owned(), "v".repeat(*length))).collect()
        };
        let many: Vec<String> = (0..17).map(|number| format!("n{number}")).collect();
        let many: Vec<(&str, usize)> = many.iter().map(|name| (name.as_str(), 1)).collect();
        for (labels, annotations, wrong) in [
            (of(&[]), of(&[]), None),
            (of(&[("example.com/mode", 63)]), of(&[("mode", 1024)]), None),
            (of(&many[1..]), of(&many[1..]), None),
            (of(&many), of(&[]), Some("m.labels")),
            (of(&[]), of(&many), Some("m.annotations")),
            (of(&[("mode", 64)]), of(&[]), Some("m.labels.mode")),
            (of(&[]), of(&[("mode", 1025)]), Some("m.annotations.mode")),
            (of(&[("a b", 1)]), of(&[]), Some("m.labels.a b")),
            (of(&[]), of(&[("a b", 1)]), Some("m.annotations.a b")),
            (of(&[("cranewing.dev/fleet", 1)]), of(&[]), Some("m.labels.cranewing.dev/fleet")),
            (of(&[]), of(&[("x.cranewing.dev/y", 1)]), Some("m.annotations.x.cranewing.dev/y")),
            (of(&[("notcranewing.dev/y", 1), ("cranewing.dev", 1)]), of(&[]), None),
        ] {
            let read = read_marks("m", (&labels, &annotations));
            assert_eq!(
                read.as_ref().err().map(|fault| fault.field.as_str()),
                wrong,
                "{labels:?} {annotations:?}"
            );
            let kept = read.ok().map(|marks| (marks.labels, marks.annotations));
            assert_eq!(kept, wrong.is_none().then_some((labels, annotations)));
        }
    }
}
