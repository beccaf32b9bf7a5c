//! Every sample does what its page says: it is applied, what is waited for comes, and it is removed.

use e2e::samples::{Sample, all};
use e2e::{in_joined_regions, in_namespace, in_three_regions};

fn those_of(place: &str) -> Vec<Sample> {
    let found: Vec<Sample> = all().into_iter().filter(|sample| sample.place == place).collect();
    assert!(!found.is_empty(), "no sample is for {place}");
    found
}

#[tokio::test]
async fn each_sample_of_any_region_comes_to_what_its_page_says() {
    in_namespace("samples", &[], async |scratch| {
        for sample in those_of("any") {
            assert!(sample.is_absent_in(scratch).await, "{} is there before it is applied", sample.file);
            sample.holds_in(scratch).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_sample_of_each_region_comes_to_what_its_page_says() {
    in_three_regions("samples-regions", &[], async |places| {
        for place in places {
            for sample in those_of(place.region.id) {
                assert!(sample.is_absent_in(place).await, "{} is there before it is applied", sample.file);
                sample.holds_in(place).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn each_sample_over_regions_comes_to_what_its_page_says() {
    in_joined_regions("samples-joined", &[], async |places| {
        let home = places.iter().find(|place| place.region.id == "jp").unwrap();
        for sample in those_of("joined") {
            assert!(sample.is_absent_in(home).await, "{} is there before it is applied", sample.file);
            sample.holds_in(home).await;
        }
    })
    .await;
}
