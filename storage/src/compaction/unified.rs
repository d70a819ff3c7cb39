//! The unified strategy: files are levelled by density, and a level is compacted where too many
//! of its files overlap.
//!
//! The density of a file is its length over the share of the token ring that it spans: how long
//! a file of the whole ring would be that is everywhere as this one. With fan factor F, level 0
//! holds densities below F times the base (about one flush), level 1 below F squared times, and
//! so on. At the point of the ring where the most files of a level overlap, a read may have to
//! ask them all; when they are as many as the threshold, all files of the level that are linked by
//! overlaps are merged. The result is about F times as dense and belongs to the next level.
//!
//! The scaling parameter W gives both: from 0 upwards F = threshold = W + 2 (tiered: fewer
//! rewrites), below 0 F = 2 - W with threshold 2 (levelled: fewer files per read).
//!
//! Outputs are cut where equal parts of the ring end, so many parts that a file has about the
//! target length. So files of one level either share a part or do not overlap at all, and what
//! is merged at once stays small however large the table is.

use super::strategy::{Candidate, Plan, Reason, Strategy};

/// Files of fewer partitions than this say nothing about how tokens are spread.
const PARTITIONS_MIN_FOR_SPAN: u64 = 16;
/// At most so many files are merged at once; more would only be open together for longer.
const INPUTS_MAX: usize = 64;
/// The ring is never cut into more parts.
const PARTS_MAX: u32 = 1 << 16;
/// No level beyond this one; F = 2 reaches it at base × 2^40.
const LEVEL_MAX: usize = 40;

/// The unified strategy with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Unified {
    /// W: T4 is 2, N is 0, L4 is -2.
    pub scaling: i32,
    /// About the length of a flush.
    pub base_bytes: u64,
    /// About the length that a file should have.
    pub target_bytes: u64,
    /// A lone file with a larger share of purgeable tombstones is rewritten.
    pub tombstone_ratio_max: f64,
}

impl Unified {
    fn fan_factor(&self) -> f64 {
        f64::from(self.scaling.unsigned_abs() + 2)
    }

    fn threshold(&self) -> usize {
        if self.scaling >= 0 { self.scaling.unsigned_abs() as usize + 2 } else { 2 }
    }

    fn level(&self, candidate: &Candidate) -> usize {
        let ratio = density(candidate) / self.base_bytes.max(1) as f64;
        let level = ratio.max(1.0).log(self.fan_factor());
        (level as usize).min(LEVEL_MAX)
    }

    /// Files of one level that are linked by overlaps, for every level, with the largest number
    /// that overlap at one point.
    fn groups<'a>(&self, candidates: &'a [Candidate]) -> Vec<Group<'a>> {
        let mut sorted: Vec<(usize, &Candidate)> =
            candidates.iter().map(|candidate| (self.level(candidate), candidate)).collect();
        sorted.sort_by_key(|(level, c)| (*level, c.token_min, c.token_max, c.id));
        let mut groups: Vec<Group<'a>> = Vec::new();
        for (level, candidate) in sorted {
            match groups.last_mut() {
                Some(group) if group.level == level && candidate.token_min <= group.token_max => {
                    group.add(candidate);
                }
                _ => groups.push(Group::new(level, candidate)),
            }
        }
        groups
    }

    fn most_urgent(&self, candidates: &[Candidate]) -> Option<Plan> {
        let groups = self.groups(candidates);
        let due = groups.iter().filter(|group| group.depth >= self.threshold());
        let group = due.max_by_key(|group| (group.depth, std::cmp::Reverse(group.level)))?;
        let mut members = group.members.clone();
        if members.len() > INPUTS_MAX {
            // The smallest first: they cost least and are as much in a reader's way.
            members.sort_by_key(|member| (member.file_bytes, member.id));
            members.truncate(INPUTS_MAX);
        }
        Some(self.plan_of(&members, Reason::Overlap))
    }

    fn plan_of(&self, members: &[&Candidate], reason: Reason) -> Plan {
        let inputs = members.iter().map(|member| member.id).collect();
        Plan { inputs, parts: self.parts(members), reason }
    }
}

impl Strategy for Unified {
    fn plan(&self, candidates: &[Candidate]) -> Option<Plan> {
        self.most_urgent(candidates).or_else(|| {
            let rotten = candidates.iter().filter(|c| c.purgeable > self.tombstone_ratio_max);
            let worst = rotten.max_by(|a, b| a.purgeable.total_cmp(&b.purgeable))?;
            Some(self.plan_of(&[worst], Reason::Tombstones))
        })
    }

    fn parts(&self, inputs: &[&Candidate]) -> u32 {
        let whole: f64 = inputs.iter().map(|input| density(input)).sum();
        let wanted = (whole / self.target_bytes.max(1) as f64).clamp(1.0, f64::from(PARTS_MAX));
        // Rounded down: a file may be up to twice the target, and small ones are not cut.
        1 << (wanted as u32).ilog2()
    }

    fn pending(&self, candidates: &[Candidate]) -> usize {
        let groups = self.groups(candidates);
        groups.iter().map(|group| group.depth / self.threshold()).sum()
    }
}

/// Files of one level that are linked by overlaps.
struct Group<'a> {
    level: usize,
    members: Vec<&'a Candidate>,
    token_max: crate::model::Token,
    /// How many overlap where most do.
    depth: usize,
}

impl<'a> Group<'a> {
    fn new(level: usize, first: &'a Candidate) -> Group<'a> {
        Group { level, members: vec![first], token_max: first.token_max, depth: 1 }
    }

    fn add(&mut self, candidate: &'a Candidate) {
        // Members come by ascending first token: those that reach this one overlap at its start.
        let reach = self.members.iter().filter(|m| m.token_max >= candidate.token_min).count();
        self.depth = self.depth.max(reach + 1);
        self.token_max = self.token_max.max(candidate.token_max);
        self.members.push(candidate);
    }
}

/// The length of a file of the whole ring that is everywhere as this one is.
fn density(candidate: &Candidate) -> f64 {
    let span = candidate.token_max.0.wrapping_sub(candidate.token_min.0) as u64;
    let share = (span as f64 + 1.0) / 2f64.powi(64);
    if candidate.partitions < PARTITIONS_MIN_FOR_SPAN {
        candidate.file_bytes as f64
    } else {
        candidate.file_bytes as f64 / share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SsTableId, Token};

    const MIB: u64 = 1 << 20;

    fn strategy(scaling: i32) -> Unified {
        let (base_bytes, target_bytes) = (MIB, 8 * MIB);
        Unified { scaling, base_bytes, target_bytes, tombstone_ratio_max: 0.2 }
    }

    fn file(n: u8, mib: u64, from: i64, to: i64) -> Candidate {
        Candidate {
            id: SsTableId([n; 16]),
            file_bytes: mib * MIB,
            partitions: 1000,
            token_min: Token(from),
            token_max: Token(to),
            purgeable: 0.0,
        }
    }

    fn whole(n: u8, mib: u64) -> Candidate {
        file(n, mib, i64::MIN, i64::MAX)
    }

    #[test]
    fn a_level_is_merged_once_the_threshold_overlaps() {
        let files: Vec<_> = (0..4).map(|n| whole(n, 1)).collect();
        assert_eq!(strategy(2).plan(&files[..3]), None);
        let plan = strategy(2).plan(&files).unwrap();
        assert_eq!((plan.inputs.len(), plan.parts, plan.reason), (4, 1, Reason::Overlap));
        assert_eq!(strategy(-2).plan(&files[..2]).unwrap().inputs.len(), 2);
    }

    #[test]
    fn files_of_different_levels_or_places_are_not_merged() {
        let levels = [whole(0, 1), whole(1, 5), whole(2, 20), whole(3, 90)];
        assert_eq!(strategy(2).plan(&levels), None);
        let quarter = 1i64 << 62;
        let places: Vec<_> = (-2..2)
            .map(|n| file((n + 9) as u8, 1, n * quarter, n * quarter + (quarter - 1)))
            .collect();
        assert_eq!(strategy(2).plan(&places), None);
    }

    #[test]
    fn a_large_outcome_is_cut_into_parts_and_levelled_by_density() {
        let inputs: Vec<_> = (0..4).map(|n| whole(n, 16)).collect();
        let refs: Vec<&Candidate> = inputs.iter().collect();
        assert_eq!(strategy(2).parts(&refs), 8);
        let eighth = file(9, 8, i64::MIN, i64::MIN + (1 << 61));
        assert_eq!(strategy(2).level(&eighth), strategy(2).level(&whole(9, 64)));
    }

    #[test]
    fn a_file_full_of_tombstones_is_rewritten_alone() {
        let mut files = vec![whole(0, 1), whole(1, 1)];
        files[1].purgeable = 0.5;
        let plan = strategy(2).plan(&files).unwrap();
        assert_eq!((plan.inputs, plan.reason), (vec![files[1].id], Reason::Tombstones));
    }

    /// Keeps adding flushes and doing what the strategy says: the number of files that overlap
    /// anywhere, which is what a read may have to ask, stays logarithmic.
    #[test]
    fn read_amplification_is_bounded() {
        for scaling in [2, 0, -2] {
            let strategy = strategy(scaling);
            let mut files: Vec<Candidate> = Vec::new();
            for n in 0..400u32 {
                files.push(Candidate { id: id(n), ..whole(0, 1) });
                while let Some(plan) = strategy.plan(&files) {
                    let (gone, mut left): (Vec<_>, Vec<_>) =
                        files.into_iter().partition(|file| plan.inputs.contains(&file.id));
                    let bytes: u64 = gone.iter().map(|file| file.file_bytes).sum();
                    let merged = Candidate { id: gone[0].id, ..whole(0, bytes / MIB) };
                    left.push(merged);
                    files = left;
                }
                assert!(files.len() <= 16, "{} files with W = {scaling}", files.len());
            }
        }
    }

    fn id(n: u32) -> SsTableId {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        SsTableId(id)
    }
}
