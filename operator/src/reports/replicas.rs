//! The report endpoints of all replicas, from the EndpointSlices of their Service (rules 14).

use gameserver_contract::MAX_REPLICAS;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::net::{IpAddr, SocketAddr};

/// Addresses that take streams, sorted, so that an unchanged set is an equal one.
pub(crate) fn replica_addresses<'a>(slices: impl IntoIterator<Item = &'a EndpointSlice>) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = slices.into_iter().flat_map(addresses_of).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_REPLICAS);
    addresses
}

fn addresses_of(slice: &EndpointSlice) -> Vec<SocketAddr> {
    let port = slice.ports.iter().flatten().find_map(|port| u16::try_from(port.port?).ok());
    let Some(port) = port else { return Vec::new() };
    slice
        .endpoints
        .iter()
        .flatten()
        // A replica that is not ready yet takes streams too: its index must be warm before it leads.
        .filter(|endpoint| endpoint.conditions.as_ref().is_none_or(|state| state.terminating != Some(true)))
        .flat_map(|endpoint| &endpoint.addresses)
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, port))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};

    fn endpoint(address: &str, terminating: Option<bool>) -> Endpoint {
        Endpoint {
            addresses: vec![address.to_owned()],
            conditions: Some(EndpointConditions { terminating, ..EndpointConditions::default() }),
            ..Endpoint::default()
        }
    }

    #[test]
    fn replicas_that_end_are_left_out_and_the_rest_is_sorted() {
        let slice = EndpointSlice {
            address_type: "IPv4".to_owned(),
            ports: Some(vec![EndpointPort { port: Some(8443), ..EndpointPort::default() }]),
            endpoints: Some(vec![
                endpoint("10.0.0.9", None),
                endpoint("10.0.0.2", Some(false)),
                endpoint("10.0.0.5", Some(true)),
            ]),
            ..EndpointSlice::default()
        };
        let expected: Vec<SocketAddr> =
            vec!["10.0.0.2:8443".parse().unwrap(), "10.0.0.9:8443".parse().unwrap()];
        assert_eq!(replica_addresses([&slice, &slice]), expected);
    }
}
