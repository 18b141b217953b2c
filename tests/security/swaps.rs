//! Paths whose file is swapped from one moment to the next. The kernel gives the privileges of the
//! file that it has opened. A process that opens the path again may get another file.

use crate::lab::{Lab, NO_PROC};
use crate::support::{Observation, Release, need};

/// Number of attempts where the attack must fail. Where it is possible, one attempt in ten
/// succeeds.
const FEW: u32 = 60;
/// Number of attempts where the attack must succeed. It ends with the first success.
const MANY: u32 = 1000;

/// Runs `start` up to `attempts` times while `link` is switched between the victim and the
/// attacker's program, until the attacker's program has the victim's privileges. Prints how often
/// each program ran, and as which user.
fn swapping(start: &str, attempts: u32) -> String {
    format!(
        "ln -s ../victim link; ln -s ../evil other; ../swap link other &
        for ((i = 0; i < {attempts}; i++)); do
            {start} >out 2>/dev/null
            awk '/^program/ {{ who = $3 }} /^euid/ {{ print who, $2 }}' out >>seen
            ! grep -q \"^attacker's 0\" seen || break
        done
        kill $!
        sort seen | uniq -c | awk '{{ print $2, $3, $1 }}'"
    )
}

#[track_caller]
fn count(seen: &Observation, who: &str, euid: u32) -> u32 {
    let start = format!("{who} {euid} ");
    let line = seen.out().lines().find_map(|line| line.strip_prefix(&start));
    line.map_or(0, |count| count.parse().unwrap_or_else(|_| panic!("{seen}")))
}

/// Registered directly, the versions `vulnerable` give the victim's privileges to the attacker's
/// program. Through an image it gets none, and each program runs as it should.
fn swap(start: &str, vulnerable: [bool; 2]) {
    for release in Release::ALL {
        let vulnerable = release.pick(vulnerable);
        let attempts = if vulnerable { MANY } else { FEW };
        let direct = Lab::direct(release).run("", &swapping(start, attempts));
        assert_eq!(count(&direct, "attacker's", 0) > 0, vulnerable, "{release:?}: {direct}");
        let ours = Lab::ours(release).run("", &swapping(start, FEW));
        assert_eq!(count(&ours, "attacker's", 0), 0, "{release:?}: {ours}");
        // Both programs have run, so the link was really switched.
        assert!(count(&ours, "attacker's", 1000) > 0 && count(&ours, "victim", 0) > 0, "{release:?}: {ours}");
        assert_eq!(count(&ours, "victim", 1000), 0, "{release:?}: {ours}");
    }
}

#[test]
fn between_exec_and_load() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    // The descriptor always names the same file.
    swap("./link", [false, false]);
    // Without standard input the program's descriptor is 0, which QEMU before 10 takes as missing.
    swap("./link <&-", [true, false]);
}

#[test]
fn when_the_program_starts_itself_again() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    // QEMU's /proc/self/exe is the path in its arguments.
    swap("./link again", [true, true]);
}

#[test]
fn when_the_program_starts_itself_again_without_proc() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    // QEMU provides /proc/self/exe even if the interpreter cannot learn the program's own path.
    for release in Release::ALL {
        let direct = Lab::direct(release).run(NO_PROC, &swapping("./link again", MANY));
        assert!(count(&direct, "attacker's", 0) > 0, "{release:?}: {direct}");
        let ours = Lab::ours(release).run(NO_PROC, &swapping("./link again", FEW));
        assert_eq!(count(&ours, "attacker's", 0), 0, "{release:?}: {ours}");
        assert!(count(&ours, "attacker's", 1000) > 0, "{release:?}: {ours}");
    }
}
