//! When the certificate authority of the report endpoint is succeeded by another.
//!
//! Game servers trust a bundle that they read from a mounted file. An authority goes through these steps, and a game
//! server that reads its bundle at most [`Terms::overlap`] late can connect at every moment:
//!
//! 1. It is made when two thirds of its predecessor's life are over, and kept.
//! 2. The bundle that holds both is published to every namespace; only then does the overlap begin to count.
//! 3. After the overlap, certificates are issued by the new one.
//! 4. After another overlap nobody shows a certificate of the old one any more, and it leaves the bundle.
//!
//! All times are since the Unix epoch, because certificates are judged by wall clocks; the overlap is far longer than
//! clocks of replicas are apart.

use std::time::Duration;

/// Least overlap: a kubelet renews a mounted file within two minutes, and a game server connects again within seconds.
pub const OVERLAP_MIN: Duration = Duration::from_secs(5 * 60);
/// Least lifetime of a certificate, of which a third is left when it is renewed.
pub const CERTIFICATE_LIFETIME_MIN: Duration = Duration::from_secs(5 * 60);
/// Overlaps that an authority's lifetime must hold: three of them fit into the last third, so that two are enough even
/// if publishing the bundle takes as long as a third.
pub const OVERLAPS_IN_LIFETIME_MIN: u32 = 9;

/// How long things last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Life of an authority.
    pub lifetime: Duration,
    /// Time that game servers get to read a new bundle.
    pub overlap: Duration,
    /// Life of a replica's certificate.
    pub certificate_lifetime: Duration,
}

/// Why terms cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermsError {
    /// The overlap is below [`OVERLAP_MIN`].
    OverlapTooShort,
    /// The lifetime is below [`OVERLAPS_IN_LIFETIME_MIN`] overlaps.
    LifetimeTooShort,
    /// A certificate would live for less than [`CERTIFICATE_LIFETIME_MIN`], or longer than its authority.
    CertificateLifetime,
}

impl Terms {
    /// Checks that a rotation by these terms leaves no gap.
    ///
    /// # Errors
    /// When it may.
    pub fn check(self) -> Result<Self, TermsError> {
        if self.overlap < OVERLAP_MIN {
            return Err(TermsError::OverlapTooShort);
        }
        if self.lifetime / OVERLAPS_IN_LIFETIME_MIN < self.overlap {
            return Err(TermsError::LifetimeTooShort);
        }
        if self.certificate_lifetime < CERTIFICATE_LIFETIME_MIN || self.certificate_lifetime > self.lifetime {
            return Err(TermsError::CertificateLifetime);
        }
        Ok(self)
    }
}

/// An authority, as its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority {
    /// When it was made.
    pub made_at: Duration,
    /// When it can no longer be trusted.
    pub expires_at: Duration,
    /// When the bundle with it had reached every namespace.
    pub published_at: Option<Duration>,
}

/// What the leader does next; every step is written down before the next is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make another authority.
    Make,
    /// Publish the bundle, then record that the newest authority is published.
    Publish,
    /// Forget the authorities at these places.
    Retire(Vec<usize>),
    /// Nothing yet.
    Wait,
}

/// What follows from the authorities that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Place of the authority that issues certificates now; `None` if none is valid.
    pub issuer: Option<usize>,
    /// What the leader does next.
    pub step: Step,
    /// Time after which the answer may differ though nothing was written.
    pub look_again: Duration,
}

/// Longest time without looking: wall clocks are set, and a missed look must not cost a day.
const LOOK_PERIOD_MAX: Duration = Duration::from_secs(600);

/// Decides over `authorities`, oldest first.
pub fn plan_authorities(now: Duration, authorities: &[Authority], terms: Terms) -> Plan {
    let valid: Vec<usize> = (0..authorities.len()).filter(|&at| authorities[at].expires_at > now).collect();
    let issuer = decide_issuer(now, authorities, &valid, terms);
    let step = decide_step(now, authorities, &valid, issuer, terms);
    let times = authorities.iter().flat_map(|authority| {
        let published = authority.published_at;
        [
            Some(authority.expires_at),
            Some(due_at(authority, terms)),
            published.map(|at| at.saturating_add(terms.overlap)),
            published.map(|at| at.saturating_add(terms.overlap * 2)),
        ]
    });
    let waits = times.flatten().filter_map(|at| at.checked_sub(now)).filter(|wait| !wait.is_zero());
    Plan { issuer, step, look_again: waits.min().map_or(LOOK_PERIOD_MAX, |wait| wait.min(LOOK_PERIOD_MAX)) }
}

/// The newest that everybody has had time to learn of; before that, the oldest that is valid.
fn decide_issuer(now: Duration, authorities: &[Authority], valid: &[usize], terms: Terms) -> Option<usize> {
    let known = |&&at: &&usize| is_past(now, authorities[at].published_at, terms.overlap);
    valid.iter().rev().find(known).or_else(|| valid.first()).copied()
}

fn decide_step(
    now: Duration,
    authorities: &[Authority],
    valid: &[usize],
    issuer: Option<usize>,
    terms: Terms,
) -> Step {
    let (Some(issuer), Some(&newest)) = (issuer, valid.last()) else { return Step::Make };
    let newest_is_old_news = is_past(now, authorities[newest].published_at, terms.overlap * 2);
    let retired =
        |&at: &usize| !valid.contains(&at) || (at < issuer && issuer == newest && newest_is_old_news);
    let retired: Vec<usize> = (0..authorities.len()).filter(retired).collect();
    if !retired.is_empty() {
        Step::Retire(retired)
    } else if authorities[newest].published_at.is_none() {
        Step::Publish
    } else if authorities.len() == 1 && now >= due_at(&authorities[newest], terms) {
        Step::Make
    } else {
        Step::Wait
    }
}

/// When a successor is due. An authority made under longer terms than today's is as old as today's allow.
fn due_at(authority: &Authority, terms: Terms) -> Duration {
    let end = authority.expires_at.min(authority.made_at.saturating_add(terms.lifetime));
    end.saturating_sub(terms.lifetime / 3)
}

fn is_past(now: Duration, since: Option<Duration>, wait: Duration) -> bool {
    since.is_some_and(|since| now >= since.saturating_add(wait))
}

/// When a certificate with this life is to be replaced: a third before its end, so that several tries fit.
pub fn certificate_due_at(issued_at: Duration, expires_at: Duration) -> Duration {
    expires_at.saturating_sub(expires_at.saturating_sub(issued_at) / 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const TERMS: Terms =
        Terms { lifetime: Duration::from_secs(90 * 3600), overlap: HOUR, certificate_lifetime: HOUR };

    /// Made at this hour, published at that.
    fn authority(made: u32, published: Option<u32>) -> Authority {
        Authority {
            made_at: HOUR * made,
            expires_at: HOUR * (made + 90),
            published_at: published.map(|at| HOUR * at),
        }
    }

    #[test]
    fn each_authority_is_made_published_used_and_retired_in_its_time() {
        let first = authority(100, Some(100));
        for (name, now, authorities, issuer, step) in [
            ("none at all", 100, vec![], None, Step::Make),
            ("the first is used at once", 100, vec![first], Some(0), Step::Wait),
            ("young", 159, vec![first], Some(0), Step::Wait),
            ("two thirds of its life are over", 160, vec![first], Some(0), Step::Make),
            (
                "its successor is published first",
                160,
                vec![first, authority(160, None)],
                Some(0),
                Step::Publish,
            ),
            (
                "and not used before all know it",
                160,
                vec![first, authority(160, Some(160))],
                Some(0),
                Step::Wait,
            ),
            ("used", 161, vec![first, authority(160, Some(160))], Some(1), Step::Wait),
            ("the old one goes", 162, vec![first, authority(160, Some(160))], Some(1), Step::Retire(vec![0])),
            ("alone again", 162, vec![authority(160, Some(160))], Some(0), Step::Wait),
            (
                "published late, counted from then",
                181,
                vec![first, authority(160, Some(181))],
                Some(0),
                Step::Wait,
            ),
            (
                "never published while the old one lived",
                190,
                vec![first, authority(160, None)],
                Some(1),
                Step::Retire(vec![0]),
            ),
            ("all are over", 300, vec![first], None, Step::Make),
            (
                "all are over and one is new",
                300,
                vec![first, authority(300, None)],
                Some(1),
                Step::Retire(vec![0]),
            ),
        ] {
            let plan = plan_authorities(HOUR * now, &authorities, TERMS);
            assert_eq!((plan.issuer, plan.step), (issuer, step), "{name}");
        }
    }

    #[test]
    fn an_authority_of_longer_terms_is_succeeded_by_todays() {
        let endless =
            Authority { made_at: Duration::ZERO, expires_at: Duration::MAX, published_at: Some(HOUR) };
        assert_eq!(plan_authorities(HOUR * 1000, &[endless], TERMS).step, Step::Make);
    }

    #[test]
    fn no_more_than_two_are_ever_kept() {
        let waiting = [authority(100, Some(100)), authority(160, None)];
        for now in 160..190 {
            assert_ne!(plan_authorities(HOUR * now, &waiting, TERMS).step, Step::Make, "{now}");
        }
    }

    #[test]
    fn the_next_look_is_when_something_can_change_and_never_far() {
        let first = authority(100, Some(100));
        let look = |now: Duration| plan_authorities(now, &[first], TERMS).look_again;
        assert_eq!(look(HOUR * 130), LOOK_PERIOD_MAX);
        assert_eq!(look(HOUR * 159 + Duration::from_secs(3593)), Duration::from_secs(7));
        assert_eq!(plan_authorities(HOUR, &[], TERMS).look_again, LOOK_PERIOD_MAX);
    }

    #[test]
    fn terms_that_would_leave_a_gap_are_refused() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let check = |lifetime, overlap, certificate| {
            let terms = Terms {
                lifetime: minutes(lifetime),
                overlap: minutes(overlap),
                certificate_lifetime: minutes(certificate),
            };
            terms.check().err()
        };
        assert_eq!(check(45, 5, 5), None, "the shortest");
        assert_eq!(check(365 * 1440, 60, 1440), None, "the default");
        assert_eq!(check(45, 4, 5), Some(TermsError::OverlapTooShort));
        assert_eq!(check(44, 5, 5), Some(TermsError::LifetimeTooShort));
        assert_eq!(check(45, 5, 4), Some(TermsError::CertificateLifetime));
        assert_eq!(check(45, 5, 46), Some(TermsError::CertificateLifetime));
    }

    #[test]
    fn a_certificate_is_renewed_with_a_third_of_its_life_left() {
        assert_eq!(certificate_due_at(HOUR * 10, HOUR * 13), HOUR * 12);
        assert_eq!(certificate_due_at(HOUR * 10, HOUR * 9), HOUR * 9, "one that never lived is due at once");
    }
}
