//! Replicas where Cassandra would put them, and rings that grow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use helenus_platform::random::{Random, SeededRandom};

use super::*;

fn member(number: u16, data_center: &str, rack: &str, tokens: Vec<i64>) -> Member {
    let mut host_id = [0; 16];
    host_id[..2].copy_from_slice(&number.to_be_bytes());
    Member { host_id, data_center: data_center.into(), rack: rack.into(), tokens }
}

fn below(random: &SeededRandom, bound: usize) -> usize {
    (random.next_u64() % bound as u64) as usize
}

/// A ring of 1 to 30 nodes in up to 3 data centres of up to 4 racks, with random tokens.
fn random_ring(random: &SeededRandom) -> Arc<Ring> {
    let (data_centers, racks) = (1 + below(random, 3), 1 + below(random, 4));
    let members = (0..1 + below(random, 30) as u16).map(|number| {
        let data_center = format!("dc{}", below(random, data_centers));
        let rack = format!("r{}", below(random, racks));
        let tokens = (0..1 + below(random, 5)).map(|_| random.next_u64().cast_signed()).collect();
        member(number, &data_center, &rack, tokens)
    });
    Arc::new(Ring::new(members.collect()).unwrap())
}

fn numbers(replicas: &[MemberIndex]) -> Vec<u16> {
    replicas.iter().map(|index| index.0).collect()
}

/// Everybody in the order in which the ring is met from `token` on, each once.
fn order(ring: &Ring, token: i64) -> Vec<usize> {
    let mut all: Vec<(u64, usize)> = Vec::new();
    for (number, member) in ring.members().iter().enumerate() {
        // How far one has to go from the key to the token.
        let far = |t: &i64| (t.wrapping_sub(token).cast_unsigned(), number);
        all.extend(member.tokens.iter().map(far));
    }
    all.sort_unstable();
    let mut seen = BTreeSet::new();
    all.into_iter().map(|(_, number)| number).filter(|number| seen.insert(*number)).collect()
}

#[test]
fn a_range_ends_at_its_owners_token_and_the_first_goes_around() {
    let ring = Ring::new(vec![
        member(0, "dc1", "r1", vec![-100, 50]),
        member(1, "dc1", "r1", vec![0]),
        member(2, "dc1", "r1", vec![100]),
    ])
    .unwrap();
    let map = ReplicaMap::new(Arc::new(ring), &Strategy::Simple { factor: 2 }, None);
    let cases: [(i64, [u16; 2]); 9] = [
        (i64::MIN, [0, 1]),
        (-100, [0, 1]),
        (-99, [1, 0]),
        (0, [1, 0]),
        (1, [0, 2]),
        (50, [0, 2]),
        (100, [2, 0]),
        (101, [0, 1]),
        (i64::MAX, [0, 1]),
    ];
    for (token, expected) in cases {
        assert_eq!(numbers(map.replicas(token)), expected, "token {token}");
    }
}

#[test]
fn a_token_has_one_owner_and_a_node_one_place() {
    let twice = vec![member(0, "dc1", "r1", vec![5]), member(1, "dc1", "r1", vec![7, 5])];
    assert_eq!(Ring::new(twice), Err(RingError::TokenTaken(5)));
    let twice = vec![member(0, "dc1", "r1", vec![5]), member(0, "dc1", "r1", vec![6])];
    assert_eq!(Ring::new(twice), Err(RingError::MemberTwice));
    let many = (0..=MEMBERS_MAX as u16).map(|number| member(number, "dc1", "r1", vec![]));
    assert_eq!(Ring::new(many.collect()), Err(RingError::TooManyMembers(MEMBERS_MAX + 1)));
}

#[test]
fn nobody_and_one_are_rings() {
    let nobody = Arc::new(Ring::new(Vec::new()).unwrap());
    assert_eq!(nobody.ranges().len(), 0);
    for strategy in [Strategy::Everywhere, Strategy::Simple { factor: 3 }] {
        assert_eq!(ReplicaMap::new(nobody.clone(), &strategy, None).replicas(7), []);
    }
    let two = member(0, "dc1", "r1", vec![9, 7]);
    assert_eq!(Ring::alone(two.clone()).ranges().len(), 2);
    assert_eq!(Ring::alone(two).owned_shares(), [1.0]);
    let one = member(0, "dc1", "r1", vec![7]);
    let one = Arc::new(Ring::new(vec![one]).unwrap());
    let ranges: Vec<TokenRange> = one.ranges().collect();
    assert_eq!(ranges, [TokenRange { start: 7, end: 7, owner: MemberIndex(0) }]);
    assert_eq!(one.owned_shares(), [1.0]);
    let map = ReplicaMap::new(one, &Strategy::Simple { factor: 3 }, None);
    assert_eq!(numbers(map.replicas(i64::MIN)), [0]);
    assert_eq!(map.shares(), [1.0]);
}

#[test]
fn simple_strategy_takes_the_first_nodes_of_the_ring() {
    for seed in 0..200 {
        let random = SeededRandom::new(seed);
        let ring = random_ring(&random);
        let factor = below(&random, 5);
        let map = ReplicaMap::new(ring.clone(), &Strategy::Simple { factor }, None);
        for _ in 0..50 {
            let token = random.next_u64().cast_signed();
            let mut expected = order(&ring, token);
            expected.truncate(factor);
            let found: Vec<usize> = map.replicas(token).iter().map(|index| index.get()).collect();
            assert_eq!(found, expected, "seed {seed}, token {token}");
        }
    }
}

/// What is asked of a data centre's replicas, said without the way in which they are found: as
/// many as there can be; on as many racks as there can be; and nobody was passed over who could
/// have been taken at his turn.
#[test]
fn topology_strategy_spreads_each_data_centre_over_its_racks() {
    for seed in 0..300 {
        let random = SeededRandom::new(seed);
        let ring = random_ring(&random);
        let factors: BTreeMap<String, usize> =
            (0..3).map(|number| (format!("dc{number}"), below(&random, 5))).collect();
        let strategy = Strategy::NetworkTopology { factors: factors.clone() };
        let map = ReplicaMap::new(ring.clone(), &strategy, None);
        for _ in 0..30 {
            let token = random.next_u64().cast_signed();
            let met = order(&ring, token);
            let found: Vec<usize> = map.replicas(token).iter().map(|index| index.get()).collect();
            let in_order: Vec<usize> = met.iter().copied().filter(|n| found.contains(n)).collect();
            assert_eq!(found, in_order, "seed {seed}: in the order of the ring, each once");
            for (name, factor) in &factors {
                let member = |number: &usize| &ring.members()[*number];
                let here = |number: &usize| member(number).data_center == *name;
                let nodes: Vec<usize> = met.iter().copied().filter(here).collect();
                let replicas: Vec<usize> = found.iter().copied().filter(here).collect();
                assert_eq!(replicas.len(), nodes.len().min(*factor), "seed {seed}, {name}");
                let racks = |of: &[usize]| -> BTreeSet<String> {
                    of.iter().map(|number| member(number).rack.clone()).collect()
                };
                let spread = racks(&nodes).len().min(replicas.len());
                assert_eq!(racks(&replicas).len(), spread, "seed {seed}, {name}");
                if let Some(first) = replicas.first() {
                    assert_eq!(first, &nodes[0], "seed {seed}: the first of the data centre");
                }
                for rack in racks(&nodes) {
                    // Of one rack, those who come first are taken first.
                    let of_rack = |number: &&usize| member(number).rack == rack;
                    let taken: Vec<&usize> = replicas.iter().filter(of_rack).collect();
                    let first: Vec<&usize> =
                        nodes.iter().filter(of_rack).take(taken.len()).collect();
                    assert_eq!(taken, first, "seed {seed}, {name}, {rack}");
                }
            }
        }
    }
}

#[test]
fn local_is_the_node_itself_and_everywhere_is_everybody() {
    let random = SeededRandom::new(3);
    let ring = random_ring(&random);
    let count = ring.members().len();
    let me = ring.index_of(&ring.members()[count / 2].host_id).unwrap();
    let local = ReplicaMap::new(ring.clone(), &Strategy::Local, Some(me));
    let everywhere = ReplicaMap::new(ring.clone(), &Strategy::Everywhere, Some(me));
    for _ in 0..50 {
        let token = random.next_u64().cast_signed();
        assert_eq!(local.replicas(token), [me]);
        let all: Vec<usize> = everywhere.replicas(token).iter().map(|index| index.get()).collect();
        assert_eq!(all, order(&ring, token));
    }
    assert_eq!(everywhere.shares(), vec![1.0; count]);
}

#[test]
fn strategies_are_read_from_the_options_of_a_keyspace() {
    let parse = |text: &str| {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        Strategy::parse(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    };
    assert_eq!(
        parse("class=SimpleStrategy replication_factor=3"),
        Ok(Strategy::Simple { factor: 3 })
    );
    let full = "class=org.apache.cassandra.locator.NetworkTopologyStrategy east=3 west=2";
    let factors = BTreeMap::from([("east".to_owned(), 3), ("west".to_owned(), 2)]);
    assert_eq!(parse(full), Ok(Strategy::NetworkTopology { factors }));
    assert_eq!(parse("class=LocalStrategy"), Ok(Strategy::Local));
    assert_eq!(parse("class=EverywhereStrategy"), Ok(Strategy::Everywhere));
    assert_eq!(parse("replication_factor=3"), Err(StrategyError::NoClass));
    assert_eq!(parse("class=SimpleStrategy"), Err(StrategyError::NoFactor));
    assert_eq!(parse("class=Other"), Err(StrategyError::Unknown("Other".into())));
    for (text, error) in [
        ("3/1", StrategyError::Transient),
        ("-1", StrategyError::Negative(-1)),
        ("many", StrategyError::NotANumber("many".into())),
    ] {
        let given = format!("class=SimpleStrategy replication_factor={text}");
        assert_eq!(parse(&given), Err(error));
    }
}

/// The largest share of a ring that grew node by node, as a multiple of the mean.
fn overload(shares: &[f64]) -> f64 {
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    shares.iter().copied().fold(0.0, f64::max) / mean
}

#[test]
fn a_ring_that_grows_stays_even() {
    for (seed, racks) in [(0, 1), (1, 1), (2, 3), (3, 3)] {
        let random = SeededRandom::new(seed);
        let mut members: Vec<Member> = Vec::new();
        for number in 0..60 {
            let before = Ring::new(members.clone()).unwrap();
            let mut joining = member(number, "dc1", &format!("r{}", number % racks), vec![]);
            joining.tokens = allocate_tokens(&before, &joining, 16, random.next_u64());
            assert_eq!(joining.tokens.len(), 16);
            members.push(joining);
            let nodes = members.len();
            let ring = Arc::new(Ring::new(members.clone()).unwrap());
            let owned = overload(&ring.owned_shares());
            let factors = BTreeMap::from([("dc1".to_owned(), 3)]);
            let map = ReplicaMap::new(ring, &Strategy::NetworkTopology { factors }, None);
            let kept = overload(&map.shares());
            let said = format!("seed {seed}: {owned} and {kept} × the mean with {nodes} nodes");
            if racks == 1 {
                assert!(owned < 1.06 && kept < if nodes < 10 { 1.4 } else { 1.2 }, "{said}");
            } else if nodes.is_multiple_of(3) {
                assert!(kept < 1.06, "{said}");
            }
        }
    }
}

#[test]
fn a_new_node_takes_from_others_and_moves_nothing_between_them() {
    let random = SeededRandom::new(1);
    let mut members = Vec::new();
    for number in 0..6 {
        let ring = Ring::new(members.clone()).unwrap();
        let data_center = if number % 2 == 0 { "even" } else { "odd" };
        let mut joining = member(number, data_center, "r1", vec![]);
        joining.tokens = allocate_tokens(&ring, &joining, 16, random.next_u64());
        members.push(joining);
    }
    let mut with = members.clone();
    let before = Arc::new(Ring::new(members).unwrap());
    let mut joining = member(6, "even", "r1", vec![]);
    joining.tokens = allocate_tokens(&before, &joining, 16, 0);
    with.push(joining);
    let after = Arc::new(Ring::new(with).unwrap());
    let factors = BTreeMap::from([("even".to_owned(), 1), ("odd".to_owned(), 1)]);
    let strategy = Strategy::NetworkTopology { factors };
    let (old, new) =
        (ReplicaMap::new(before, &strategy, None), ReplicaMap::new(after.clone(), &strategy, None));
    let mut moved = 0;
    for _ in 0..10_000 {
        let token = random.next_u64().cast_signed();
        let (old, new) = (numbers(old.replicas(token)), numbers(new.replicas(token)));
        for gone in old.iter().filter(|number| !new.contains(number)) {
            assert!(gone % 2 == 0, "a node of the other data centre lost something");
            assert!(new.contains(&6));
            moved += 1;
        }
    }
    // Three of a data centre become four.
    assert!((2_300..2_700).contains(&moved), "{moved} of 10,000");
}

#[test]
fn the_tokens_of_a_small_ring_run_out_without_harm() {
    let crowded = Ring::new(vec![member(0, "dc1", "r1", (0..100).collect())]).unwrap();
    let tokens = allocate_tokens(&crowded, &member(1, "dc1", "r1", vec![]), 16, 0);
    let all: BTreeSet<i64> = tokens.iter().copied().collect();
    assert_eq!(all.len(), 16);
    assert!(tokens.iter().all(|token| !(0..100).contains(token) && *token != i64::MIN));
    // A second data centre that wants the very same tokens.
    let other = allocate_tokens(&crowded, &member(1, "dc2", "r1", vec![]), 16, 0);
    assert!(other.iter().all(|token| !(0..100).contains(token)));
}
