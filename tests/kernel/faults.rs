//! Makes every system call of the interpreter fail with every errno that it can give, wherever it
//! is made. The guest runs as usual, or there is one line and the right exit code. There is never a
//! signal, a hanging process or a guest that was started incompletely. If privileges are involved,
//! the replacement for a failed step is never weaker.

mod calls;
mod injector;
mod judge;
mod scenarios;

use std::collections::{BTreeMap, BTreeSet};

use crate::support::need;
use calls::{Call, FORBIDDEN, Role, TABLE, entry, nr, role};
use injector::{Injection, Run};
use scenarios::{Scenario, all};

/// One fault at a time, then two at once.
fn inject(name: &str, scenario: &Scenario) {
    let baseline = scenario.run(&[String::new()]).remove(0);
    scenario.judge(&baseline, &baseline, &[]);
    let roles = scenario.roles(&baseline);

    let mut jobs: Vec<Vec<Injection>> = Vec::new();
    for (index, (call, role)) in baseline.calls.iter().zip(&roles).enumerate() {
        jobs.extend(entry(*role).errors.iter().map(|errno| vec![Injection::Fails(index, *errno)]));
        jobs.extend(judge::partly(index, call, *role).into_iter().map(|injection| vec![injection]));
    }
    let numbers: BTreeSet<i64> = baseline.calls.iter().map(|call| call.nr).filter(|nr| *nr != nr::EXIT_GROUP).collect();
    let everywhere = |nr| FORBIDDEN.map(|errno| vec![Injection::Everywhere(nr, errno)]);
    jobs.extend(numbers.into_iter().flat_map(everywhere));
    let runs = attempt(scenario, &baseline, &jobs, |_| &baseline.calls);

    // Calls after the first fault may be made only because of it. One errno stands for all errnos
    // here.
    let first: BTreeMap<usize, &Run> = (jobs.iter().zip(&runs))
        .filter_map(|(job, run)| match job[..] {
            [Injection::Fails(index, errno)] if entry(roles[index]).errors[0] == errno => Some((index, run)),
            _ => None,
        })
        .collect();
    let mut pairs = Vec::new();
    for (&index, run) in &first {
        let roles = scenario.roles(run);
        let one = Injection::Fails(index, entry(roles[index]).errors[0]);
        for (other, role) in roles.iter().enumerate().skip(index + 1) {
            let errors = entry(*role).errors.first();
            pairs.extend(errors.map(|errno| vec![one, Injection::Fails(other, *errno)]));
        }
    }
    let calls_of = |job: &[Injection]| match job[0] {
        Injection::Fails(index, _) => &first[&index].calls,
        _ => unreachable!("pairs begin with a failing call"),
    };
    attempt(scenario, &baseline, &pairs, calls_of);
    println!("{name}: {} calls, {} runs with a fault, {} with two", roles.len(), jobs.len(), pairs.len());
}

/// Runs the jobs and judges their outcomes. `calls_of` gives the calls to which a job's numbers
/// refer.
fn attempt<'r>(
    scenario: &Scenario,
    baseline: &Run,
    jobs: &[Vec<Injection>],
    calls_of: impl Fn(&[Injection]) -> &'r Vec<Call>,
) -> Vec<Run> {
    let line = |job: &Vec<Injection>| {
        let words = job.iter().map(|injection| injection.word(calls_of(job)));
        words.collect::<Vec<_>>().join(" ")
    };
    let runs = scenario.run(&jobs.iter().map(line).collect::<Vec<_>>());
    for (job, run) in jobs.iter().zip(&runs) {
        scenario.judge(baseline, run, job);
    }
    runs
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            need!(Namespace, Compiler, Root);
            inject(stringify!($name), &all::$name());
        })*

        const SCENARIOS: &[fn() -> Scenario] = &[$(all::$name),*];
    };
}
scenarios! {
    inside inside_without_input inside_at_fixed_addresses inside_aligned_and_not_prelinked
    privileged privileged_and_aligned_without_input privileged_at_fixed_addresses
    privileged_with_an_emulator_outside privileged_with_an_emulator_to_execute
    by_path by_path_without_input by_path_at_fixed_addresses by_path_aligned by_the_second_path
    without_an_emulator without_flag_p with_a_sysroot with_a_sysroot_and_far_headers
    with_a_row_for_its_directory executed_by_the_rows_wish executed_as_it_is_dynamic started_by_hand
}

#[test]
fn every_call_of_the_table_is_made_somewhere() {
    need!(Namespace, Compiler, Root);
    let made: BTreeSet<Role> = (SCENARIOS.iter())
        .flat_map(|scenario| {
            let scenario = scenario();
            let baseline = scenario.run(&[String::new()]).remove(0);
            scenario.roles(&baseline)
        })
        .collect();
    let known: BTreeSet<Role> = TABLE.iter().map(|entry| entry.role).collect();
    assert_eq!(made, known);
    assert_eq!(known.len(), TABLE.len(), "each has one line");
}

#[test]
fn what_runs_all_the_same_has_a_reason() {
    for entry in TABLE {
        let runs = |outcome: calls::Outcome| !matches!(outcome, calls::Outcome::Refused(..));
        let may = runs(entry.outcome) || entry.except.iter().any(|(_, outcome)| runs(*outcome));
        assert_eq!(may, !entry.because.is_empty(), "{:?}", entry.role);
    }
}

impl Scenario {
    /// What each call of a run is for.
    pub fn roles(&self, run: &Run) -> Vec<Role> {
        let known = |index| role(&run.calls[..=index], self.prelinked);
        let find = |index| known(index).unwrap_or_else(|| panic!("call {index} is not in the table\n{run}"));
        (0..run.calls.len()).map(find).collect()
    }
}
