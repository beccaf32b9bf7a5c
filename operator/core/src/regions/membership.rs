//! Which regions count, by whom the regions can read (rules 4, 5 and 9).
//!
//! One sight is never enough: a region is given up only when a majority of all registered regions cannot read it, and takes
//! part only while a majority reads it and is read by it. Two majorities have a region in common, which cannot say both; so
//! over one set of rows nobody takes part whom anybody has given up, and at most one side of a cut does anything. With one
//! or two regions no majority can give up another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RegionId;

/// Time without a digest with a new sequence number after which a region counts as not read.
pub const DIGEST_AGE_MAX: Duration = Duration::from_secs(4);

/// How a region reaches another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reach {
    /// A digest with a new sequence number came within [`DIGEST_AGE_MAX`].
    Reads,
    /// No digest came, but its UDP responder answers: players still play there.
    Answers,
    /// Neither.
    Silent,
}

/// How a region is reached from which the last new digest came so long ago, if ever one did, since listening began; `answers`
/// says whether its UDP responder does. `None` is no vote: who has just begun to listen cannot tell. All times are on the
/// reader's monotonic clock.
pub fn decide_reach(digest_age: Option<Duration>, listening_for: Duration, answers: bool) -> Option<Reach> {
    if digest_age.is_some_and(|age| age < DIGEST_AGE_MAX) {
        Some(Reach::Reads)
    } else if listening_for < DIGEST_AGE_MAX {
        None
    } else if answers {
        Some(Reach::Answers)
    } else {
        Some(Reach::Silent)
    }
}

/// How one region reaches the others. Who is not in it gets no vote either way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row(pub BTreeMap<RegionId, Reach>);

impl Row {
    fn reads(&self, region: RegionId) -> bool {
        self.0.get(&region) == Some(&Reach::Reads)
    }
}

/// What a region's digest says of the region itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// How it reaches the others.
    pub row: Row,
    /// It judged itself [`Standing::Isolated`].
    pub isolated: bool,
    /// Its own API server does not answer it.
    pub api_server_away: bool,
}

/// Who says what of a region, the region itself apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Votes(pub BTreeMap<RegionId, Reach>);

impl Votes {
    /// How many say so.
    pub fn count(&self, reach: Reach) -> usize {
        self.0.values().filter(|&&said| said == reach).count()
    }
}

/// `jp Silent, kr Reads`.
impl fmt::Display for Votes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (voter, reach)) in self.0.iter().enumerate() {
            write!(formatter, "{}{voter} {reach:?}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Where a region stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Takes part: a member, if it is the region itself; else one that is read and has nothing against it.
    Connected,
    /// Not read from here, and no majority says so: not placed from here, nothing else changes.
    Unreachable,
    /// Is not in touch with a majority, by its own word: keeps its matches and its last share and takes no outsiders.
    Isolated,
    /// No new placements there; its shares are raised elsewhere if it stays so, and nobody is moved.
    Degraded(Source),
    /// A majority hears nothing of it: its shares are raised elsewhere and its players placed there.
    Gone,
}

/// Who says that a region is Degraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The region: its API server is away.
    OwnWord,
    /// A majority cannot read it, while some of them still get answers from it.
    Votes,
}

/// A region's standing and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Where it stands.
    pub standing: Standing,
    /// What the rows that were at hand say of it.
    pub votes: Votes,
}

/// What a region judges by.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The region that judges.
    pub me: RegionId,
    /// All registered regions.
    pub registered: &'a BTreeSet<RegionId>,
    /// How it reaches the others.
    pub row: &'a Row,
    /// The last words of others; those of regions that it does not read are passed over.
    pub words: &'a BTreeMap<RegionId, &'a Word>,
}

/// Fewest of so many registered regions that can decide something.
pub const fn majority(registered: usize) -> usize {
    registered / 2 + 1
}

/// Judges every registered region, `me` included: Connected if it is a member, else Isolated. Who is Isolated judges nobody,
/// and says only whom it reads.
pub fn judge(evidence: &Evidence<'_>) -> BTreeMap<RegionId, Judgement> {
    let Evidence { me, row, .. } = *evidence;
    let mut registered = evidence.registered.clone();
    registered.insert(me);
    let majority = majority(registered.len());
    let is_read = |region: &RegionId| *region != me && registered.contains(region) && row.reads(*region);
    let words: BTreeMap<RegionId, &Word> = evidence
        .words
        .iter()
        .filter(|(region, _)| is_read(region))
        .map(|(&region, &word)| (region, word))
        .collect();

    let rows = || words.iter().map(|(&region, word)| (region, &word.row)).chain([(me, row)]);
    let votes_on = |region: RegionId| {
        let others = rows().filter(|&(voter, _)| voter != region);
        Votes(others.filter_map(|(voter, row)| Some((voter, *row.0.get(&region)?))).collect())
    };
    let member = votes_on(me).count(Reach::Reads) + 1 >= majority;
    let stand = |region: RegionId, votes: &Votes| match words.get(&region) {
        _ if region == me => {
            if member {
                Standing::Connected
            } else {
                Standing::Isolated
            }
        }
        _ if member && votes.count(Reach::Silent) >= majority => Standing::Gone,
        _ if member && votes.count(Reach::Silent) + votes.count(Reach::Answers) >= majority => {
            Standing::Degraded(Source::Votes)
        }
        Some(word) if member && word.isolated => Standing::Isolated,
        Some(word) if member && word.api_server_away => Standing::Degraded(Source::OwnWord),
        Some(_) => Standing::Connected,
        None => Standing::Unreachable,
    };
    let judgement = |region| {
        let votes = votes_on(region);
        (region, Judgement { standing: stand(region, &votes), votes })
    };
    registered.iter().copied().map(judgement).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

    fn region(at: usize) -> RegionId {
        NAMES[at].parse().unwrap()
    }

    /// Rows as text, one word a region and one letter for each that it may reach: Reads, Answers, Silent; `-` no vote.
    fn rows(text: &str) -> Vec<Row> {
        let reach = |letter| match letter {
            'R' => Some(Reach::Reads),
            'A' => Some(Reach::Answers),
            'S' => Some(Reach::Silent),
            _ => None,
        };
        let row = |word: &str| {
            word.chars().enumerate().filter_map(|(at, letter)| Some((region(at), reach(letter)?))).collect()
        };
        text.split(' ').map(|word| Row(row(word))).collect()
    }

    /// What each region judges when everybody has heard what it can; `away` have lost their API server.
    fn judge_all(rows: &[Row], away: &str) -> Vec<BTreeMap<RegionId, Judgement>> {
        let registered: BTreeSet<RegionId> = (0..rows.len()).map(region).collect();
        let judge_by = |words: &[Word]| -> Vec<_> {
            let words = words.iter().enumerate().map(|(at, word)| (region(at), word)).collect();
            let evidence = |at: usize| Evidence {
                me: region(at),
                registered: &registered,
                row: &rows[at],
                words: &words,
            };
            (0..rows.len()).map(|at| judge(&evidence(at))).collect()
        };
        let word = |at: usize, isolated| Word {
            row: rows[at].clone(),
            isolated,
            api_server_away: away.contains(NAMES[at]),
        };
        let first = judge_by(&(0..rows.len()).map(|at| word(at, false)).collect::<Vec<_>>());
        judge_by(&(0..rows.len()).map(|at| word(at, !is_member(&first, at))).collect::<Vec<_>>())
    }

    fn is_member(judged: &[BTreeMap<RegionId, Judgement>], at: usize) -> bool {
        judged[at][&region(at)].standing == Standing::Connected
    }

    /// Whom the region gives up, so that others raise their shares.
    fn given_up(judged: &BTreeMap<RegionId, Judgement>) -> BTreeSet<RegionId> {
        let is_given_up = |judgement: &Judgement| {
            matches!(judgement.standing, Standing::Gone | Standing::Degraded(Source::Votes))
        };
        judged.iter().filter(|(_, judgement)| is_given_up(judgement)).map(|(&region, _)| region).collect()
    }

    /// One letter a standing: Connected, Unreachable, Isolated, Degraded, Gone; `W` is Degraded by its own word.
    fn letters(judged: &BTreeMap<RegionId, Judgement>) -> String {
        let letter = |judgement: &Judgement| match judgement.standing {
            Standing::Connected => 'C',
            Standing::Unreachable => 'U',
            Standing::Isolated => 'I',
            Standing::Degraded(Source::Votes) => 'D',
            Standing::Degraded(Source::OwnWord) => 'W',
            Standing::Gone => 'G',
        };
        judged.values().map(letter).collect()
    }

    #[test]
    fn each_region_judges_the_others_by_what_a_majority_says() {
        for (name, links, away, expected) in [
            ("one alone", "-", "", "C"),
            ("two", "-R R-", "", "CC CC"),
            ("two, cut: nobody is given up", "-S S-", "", "IU UI"),
            ("two, cut one way", "-R S-", "", "IC UI"),
            ("three", "-RR R-R RR-", "", "CCC CCC CCC"),
            ("three, c cut off", "-RS R-S SS-", "", "CCG CCG UUI"),
            ("three, all cut", "-SS S-S SS-", "", "IUU UIU UUI"),
            ("three, c hears all and is heard by none", "-RS R-S RR-", "", "CCG CCG CCI"),
            ("three, c is heard by all and hears none", "-RR R-R SS-", "", "CCI CCI UUI"),
            ("three, c heard by UDP alone", "-RA R-A AA-", "", "CCD CCD UUI"),
            ("three, c heard by UDP by one of two", "-RA R-S SS-", "", "CCD CCD UUI"),
            ("three, no link between a and b", "-SR S-R RR-", "", "CUC UCC CCC"),
            ("three, a cannot hear b", "-SR R-R RR-", "", "CUC CCC CCC"),
            ("three, c without its API server", "-RR R-R RR-", "c", "CCW CCW CCC"),
            ("three, c without its API server, heard by one", "-RR R-S RR-", "c", "CCW CCU CCC"),
            ("three, a has just begun to listen", "--- R-R RR-", "", "IUU ICC ICC"),
            (
                "five, two cut off together",
                "-RRSS R-RSS RR-SS SSS-R SSSR-",
                "",
                "CCCGG CCCGG CCCGG UUUIC UUUCI",
            ),
            (
                "five, e heard by two of four",
                "-RRRR R-RRR RR-RS RRR-S RRRR-",
                "",
                "CCCCC CCCCC CCCCU CCCCU CCCCC",
            ),
            (
                "five, e heard by one of four",
                "-RRRR R-RRS RR-RS RRR-S RRRR-",
                "",
                "CCCCG CCCCG CCCCG CCCCG CCCCI",
            ),
            ("four, halved: no side is a majority", "-RSS R-SS SS-R SSR-", "", "ICUU CIUU UUIC UUCI"),
        ] {
            let judged: Vec<String> = judge_all(&rows(links), away).iter().map(letters).collect();
            assert_eq!(judged.join(" "), expected, "{name}");
        }
    }

    #[test]
    fn a_region_is_read_until_its_digests_stay_away_for_four_seconds() {
        let seconds = Duration::from_secs_f32;
        for (name, digest_age, listening_for, answers, expected) in [
            ("read", Some(3.9), 100.0, false, Some(Reach::Reads)),
            ("silent", Some(4.0), 100.0, false, Some(Reach::Silent)),
            ("silent, UDP answers", Some(4.0), 100.0, true, Some(Reach::Answers)),
            ("read as soon as one came", Some(0.0), 0.5, false, Some(Reach::Reads)),
            ("nothing yet, nor long waited", None, 3.9, true, None),
            ("nothing in all that time", None, 4.0, false, Some(Reach::Silent)),
        ] {
            let reach = decide_reach(digest_age.map(seconds), seconds(listening_for), answers);
            assert_eq!(reach, expected, "{name}");
        }
    }

    #[test]
    fn a_judgement_says_who_said_what() {
        let judged = judge_all(&rows("-RS R-A SS-"), "");
        assert_eq!(judged[0][&region(2)].votes.to_string(), "a Silent, b Answers");
        assert_eq!(judged[0][&region(0)].votes.to_string(), "b Reads", "c's word did not come");
    }

    #[test]
    fn words_of_strangers_and_of_the_unread_count_for_nothing() {
        let rows = rows("-RS R-S RR-");
        let words: Vec<Word> = rows.iter().map(|row| Word { row: row.clone(), ..Word::default() }).collect();
        let words = (0..3).map(|at| (region(at), &words[at])).collect();
        let registered = BTreeSet::from([region(0), region(2)]);
        let judged =
            judge(&Evidence { me: region(0), registered: &registered, row: &rows[0], words: &words });
        assert_eq!(letters(&judged), "IU", "b is not registered and c is not read");
    }

    /// Every state of the six links between three regions.
    fn states_of_three() -> impl Iterator<Item = Vec<Row>> {
        (0..3_usize.pow(6)).map(|state| {
            let mut letters = (0..6).map(|link| ["R", "A", "S"][state / 3_usize.pow(link) % 3]);
            let mut next = || letters.next().unwrap();
            let (ab, ac, ba, bc, ca, cb) = (next(), next(), next(), next(), next(), next());
            rows(&format!("-{ab}{ac} {ba}-{bc} {ca}{cb}-"))
        })
    }

    /// Members whom somebody has given up, if these are the members.
    fn contradictions(rows: &[Row], is_member: impl Fn(usize) -> bool) -> usize {
        let lost: BTreeSet<RegionId> = judge_all(rows, "").iter().flat_map(given_up).collect();
        (0..rows.len()).filter(|&at| is_member(at) && lost.contains(&region(at))).count()
    }

    /// Regions that are in touch with this one both ways, itself included.
    fn side(rows: &[Row], at: usize) -> BTreeSet<usize> {
        let mutual = |&other: &usize| rows[at].reads(region(other)) && rows[other].reads(region(at));
        (0..rows.len()).filter(mutual).chain([at]).collect()
    }

    /// Whether all who raise their shares are on one side: any two have a region in common.
    fn one_side_raises(rows: &[Row]) -> bool {
        let judged = judge_all(rows, "");
        let raising: Vec<usize> = (0..rows.len()).filter(|&at| !given_up(&judged[at]).is_empty()).collect();
        raising
            .iter()
            .all(|&one| raising.iter().all(|&other| !side(rows, one).is_disjoint(&side(rows, other))))
    }

    #[test]
    fn nobody_takes_part_whom_anybody_has_given_up_in_any_state_of_three_regions() {
        let mut states = 0;
        for rows in states_of_three() {
            let judged = judge_all(&rows, "");
            assert_eq!(contradictions(&rows, |at| is_member(&judged, at)), 0, "{rows:?}");
            assert!(one_side_raises(&rows), "{rows:?}");
            states += 1;
        }
        assert_eq!(states, 729);
    }

    #[test]
    fn reading_a_majority_without_being_read_by_it_would_not_be_enough() {
        let reads_majority = |rows: &[Row], at: usize| {
            rows[at].0.values().filter(|&&reach| reach == Reach::Reads).count() + 1 >= majority(rows.len())
        };
        let broken = states_of_three().filter(|rows| contradictions(rows, |at| reads_majority(rows, at)) > 0);
        assert_eq!(broken.count(), 60, "states that the obvious rule gets wrong");
    }

    mod any_number {
        use super::*;
        use proptest::prelude::*;

        fn any_rows() -> impl Strategy<Value = String> {
            (4_usize..=7).prop_flat_map(|regions| {
                let letter = prop::sample::select(vec!["R", "R", "R", "A", "S", "S", "-"]);
                let row = prop::collection::vec(letter, regions).prop_map(|letters| letters.concat());
                prop::collection::vec(row, regions).prop_map(|rows| rows.join(" "))
            })
        }

        proptest! {
            #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

            #[test]
            fn nobody_takes_part_whom_anybody_has_given_up(text in any_rows()) {
                let rows = rows(&text);
                let judged = judge_all(&rows, "");
                prop_assert_eq!(contradictions(&rows, |at| is_member(&judged, at)), 0);
                prop_assert!(one_side_raises(&rows));
                for at in 0..rows.len() {
                    prop_assert_eq!(judged[at].len(), rows.len());
                    prop_assert!(is_member(&judged, at) || given_up(&judged[at]).is_empty());
                }
            }
        }
    }
}
