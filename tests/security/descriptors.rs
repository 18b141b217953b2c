//! Attacks by closed standard descriptors. The attacker expects that a file which the program opens
//! gets such a number, so that the program writes its complaints about the arguments into that
//! file.

use crate::lab::Directly::{Fails, Succeeds};
use crate::lab::{Attack, Lab, attack};
use crate::support::{Release, need};

const FILLED: &str = "the program's descriptor has another number, and QEMU's libc opens /dev/null for 2";

#[test]
fn complaints_written_into_the_programs_own_file() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    let attacks = [("2 closed", "2>&-", [Succeeds; 2]), ("0 and 2 closed", "<&- 2>&-", [Fails(FILLED); 2])];
    let scripts = attacks.map(|(_, closed, _)| {
        format!(
            "bash -c 'exec ../victim append log root::0:0 >out 2>err {closed}'; [[ $? = [3-9] ]] || echo reused >>out"
        )
    });
    let attacks = attacks.iter().zip(&scripts);
    let harm = "[[ $(owner log) = 0 ]] && grep -q 'root::0:0' log";
    attack(attacks.map(|(&(name, _, directly), script)| Attack { name, script, harm, directly }));
}

#[test]
fn no_file_of_the_program_is_a_standard_descriptor() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    // The exit status is the number of the file's descriptor.
    let attacker = r#"
        for closed in '' '<&-' '>&-' '<&- >&-' '2>&-' '<&- 2>&-' '>&- 2>&-' '<&- >&- 2>&-'; do
            bash -c "exec ../victim append log text $closed" >/dev/null 2>&1 </dev/null
            echo "$? $(wc -c <log)"
        done"#;
    for release in Release::ALL {
        let seen = Lab::ours(release).run("", attacker);
        let lines: Vec<&str> = seen.succeeded().out().lines().collect();
        // Nothing is written into it.
        assert!(lines.len() == 8 && lines.iter().all(|line| *line == "3 0"), "{seen}");
    }
}
