//! Regions that know each other: how they are joined, and what each of them says of all.

use kube::Api;
use operator_api::RegionCluster;
use std::collections::BTreeMap;

use crate::command::{operator, words};
use crate::region::{OPERATOR_NAMESPACE, PATIENCE, Region};
use crate::scratch::Scratch;
use crate::wait::eventually;

/// Regions that are joined. They are taken apart again by [`Joined::part`], or when this is dropped.
pub struct Joined<'a> {
    regions: Vec<&'a Region>,
}

/// Where a region stands in the eyes of others: `standing` of its RegionCluster, by the region that looks and the one looked at.
pub type Standings = BTreeMap<(&'static str, &'static str), String>;

impl<'a> Joined<'a> {
    /// Gives each region a RegionCluster of its own, joins all of them and waits until each is a member that sees all others.
    pub async fn join(places: &'a [Scratch]) -> Self {
        for (number, place) in places.iter().enumerate() {
            place.apply_everywhere(&own_region(&place.region, number)).await;
        }
        Self::of(places.iter().map(|place| &place.region).collect()).await
    }

    /// The same of regions that have their RegionClusters.
    pub(crate) async fn of(regions: Vec<&'a Region>) -> Self {
        let joined = Self { regions };
        // a replica that has only just started may still be making its region's key
        eventually("the regions are joined", PATIENCE, || async { joined.try_operator(&["join"]) }).await;
        joined
            .await_standings("each region is a member and sees all others", |standings| {
                joined.pairs().all(|pair| {
                    let expected = if pair.0 == pair.1 { "Member" } else { "Connected" };
                    standings.get(&pair).is_some_and(|standing| standing == expected)
                })
            })
            .await;
        joined
    }

    /// They stay joined.
    pub(crate) fn keep(mut self) {
        self.regions.clear();
    }

    /// Regions that were joined before.
    pub(crate) fn again(regions: &'a [Region]) -> Self {
        Self { regions: regions.iter().collect() }
    }

    /// Every pair of a region that looks and one that is looked at.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.regions.iter().flat_map(|from| self.regions.iter().map(|to| (from.id, to.id)))
    }

    /// What every region says of every region now.
    pub async fn standings(&self) -> Result<Standings, String> {
        let mut standings = Standings::new();
        for from in &self.regions {
            for to in &self.regions {
                let status = region_cluster(from, to.id).await?.status.unwrap_or_default();
                let standing =
                    status.standing.map_or_else(|| "unknown".to_owned(), |standing| format!("{standing:?}"));
                standings.insert((from.id, to.id), standing);
            }
        }
        Ok(standings)
    }

    /// Waits until what all say of all is as it should be.
    pub async fn await_standings(&self, what: &str, holds: impl Fn(&Standings) -> bool) {
        eventually(what, PATIENCE, || async {
            let standings = self.standings().await?;
            if holds(&standings) { Ok(()) } else { Err(format!("{standings:?}")) }
        })
        .await;
    }

    /// Takes the regions apart again and waits until none has a copy of another.
    pub async fn part(self) {
        let regions = self.regions.clone();
        drop(self);
        for region in &regions {
            eventually("no copy of another region is left", PATIENCE, || async {
                let api: Api<RegionCluster> = region.all();
                let found =
                    api.list(&kube::api::ListParams::default()).await.map_err(|error| error.to_string())?;
                let others: Vec<_> = found
                    .items
                    .iter()
                    .map(|found| &found.spec.region_id)
                    .filter(|id| *id != region.id)
                    .collect();
                if others.is_empty() { Ok(()) } else { Err(format!("{} has {others:?}", region.id)) }
            })
            .await;
        }
    }

    /// `operator region ...` on all regions; its words, which are an error if it fails.
    pub fn try_operator(&self, arguments: &[&str]) -> Result<String, String> {
        self.try_operator_in(&self.regions.iter().map(|region| region.id).collect::<Vec<_>>(), arguments)
    }

    /// The same on these regions.
    pub fn try_operator_in(&self, ids: &[&str], arguments: &[&str]) -> Result<String, String> {
        let mut operator = operator();
        operator.arg("region").args(arguments).args(["--namespace", OPERATOR_NAMESPACE]);
        for region in self.regions.iter().filter(|region| ids.contains(&region.id)) {
            operator.arg("--kubeconfig").arg(format!("{}={}", region.id, region.kubeconfig));
        }
        words(operator)
    }

    /// `operator place ...`, asked of this region; its words, which are an error if it fails.
    pub fn try_place(&self, at: &str, arguments: &[&str]) -> Result<String, String> {
        let region = self.regions.iter().find(|region| region.id == at).expect("it is joined");
        let mut operator = operator();
        operator.arg("place").args(arguments).args(["--namespace", OPERATOR_NAMESPACE]);
        operator.env("KUBECONFIG", &region.kubeconfig);
        words(operator)
    }
}

/// A region's own RegionCluster, as YAML.
pub(crate) fn own_region(region: &Region, number: usize) -> String {
    let id = region.id;
    format!(
        "{{apiVersion: cranewing.dev/v1alpha1, kind: RegionCluster, metadata: {{name: {id}}}, spec: {{regionId: {id}, zones: [{id}-a, {id}-b, {id}-c], vpcCidr: 10.{number}.0.0/16, minGameServers: 0}}}}"
    )
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        for region in &self.regions {
            // a test that fails must still tell why, so this only says what it could not do
            if let Err(said) = self.try_operator(&["leave", "--region", region.id]) {
                eprintln!("{} stays joined: {said}", region.id);
            }
        }
    }
}

/// A region's RegionCluster of a region.
pub async fn region_cluster(at: &Region, of: &str) -> Result<RegionCluster, String> {
    let api: Api<RegionCluster> = at.all();
    api.get(of).await.map_err(|error| error.to_string())
}
