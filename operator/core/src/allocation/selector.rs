//! Which servers somebody wants, by their labels.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Fits a server that has these labels and for which each expression holds; every server without either.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels that the server has.
    pub match_labels: BTreeMap<String, String>,
    /// What else is to be true of its labels.
    pub match_expressions: Vec<Expression>,
}

/// What is to be true of one label, by the rules of Kubernetes' own label selectors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expression {
    /// The label's name.
    pub key: String,
    /// What of it.
    pub is: Is,
}

/// What is to be true of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Is {
    /// It is there, and its value is one of these.
    In(BTreeSet<String>),
    /// It is not there, or its value is none of these.
    NotIn(BTreeSet<String>),
    /// It is there.
    Present,
    /// It is not.
    Absent,
}

impl Selector {
    /// Whether a server with these labels fits.
    pub fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(name, value)| labels.get(name) == Some(value))
            && self.match_expressions.iter().all(|expression| expression.holds(labels))
    }
}

impl Expression {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match &self.is {
            Is::In(values) => value.is_some_and(|value| values.contains(value)),
            Is::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Is::Present => value.is_some(),
            Is::Absent => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn labels_and_expressions_all_hold_and_what_says_nothing_fits_everything() {
        let values = || BTreeSet::from(["red".to_owned(), "blue".to_owned()]);
        let expression = |is| Selector {
            match_expressions: vec![Expression { key: "mode".to_owned(), is }],
            ..Selector::default()
        };
        let both = Selector { match_labels: labels(&[("map", "arena")]), ..expression(Is::In(values())) };
        let (red, green, none) = (&[("mode", "red")][..], &[("mode", "green")][..], &[][..]);
        for (case, selector, of, fits) in [
            ("nothing is asked for", Selector::default(), none, true),
            ("one of the values", expression(Is::In(values())), red, true),
            ("another value", expression(Is::In(values())), green, false),
            ("no value", expression(Is::In(values())), none, false),
            ("none of the values", expression(Is::NotIn(values())), green, true),
            ("it is one", expression(Is::NotIn(values())), red, false),
            ("no value is none of them", expression(Is::NotIn(values())), none, true),
            ("present", expression(Is::Present), green, true),
            ("not present", expression(Is::Present), none, false),
            ("absent", expression(Is::Absent), none, true),
            ("not absent", expression(Is::Absent), red, false),
            ("the label is missing", both.clone(), red, false),
            ("both hold", both, &[("map", "arena"), ("mode", "blue")], true),
        ] {
            assert_eq!(selector.fits(&labels(of)), fits, "{case}");
        }
    }
}
