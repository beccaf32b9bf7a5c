//! JSON as Agones' clients write it: words by their name or number, and null for what is not there.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

use super::proto::allocation_request::SchedulingStrategy;
use super::proto::game_server_selector::GameServerState;
use super::proto::label_match_expressions::Operator;

/// A word of a closed list.
pub(super) trait Word: Sized + Into<i32> {
    fn named(name: &str) -> Option<Self>;
}

macro_rules! words {
    ($($word:ty),+) => {$(
        impl Word for $word {
            fn named(name: &str) -> Option<Self> {
                Self::from_str_name(name)
            }
        }
    )+};
}

words!(SchedulingStrategy, GameServerState, Operator);

/// What is null is as it is where nothing is said of it.
pub(super) fn unless_null<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Reads a word's number; whether there is such a number is looked at where it is used, as with gRPC.
pub(super) fn word<'de, T: Word, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    deserializer.deserialize_any(Reads(PhantomData::<T>))
}

struct Reads<T>(PhantomData<T>);

impl<T: Word> Visitor<'_> for Reads<T> {
    type Value = i32;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("one of its words, or the number of one")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<i32, E> {
        T::named(name).map(Into::into).ok_or_else(|| E::custom(format!("there is no word `{name:.64}` here")))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i32, E> {
        i32::try_from(number).map_err(|_larger| E::custom("there is no such number"))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i32, E> {
        i32::try_from(number).map_err(|_larger| E::custom("there is no such number"))
    }

    fn visit_unit<E: Error>(self) -> Result<i32, E> {
        Ok(0)
    }
}
