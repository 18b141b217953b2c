//! The input and output of inject.c.

use std::fmt;

use nix::errno::Errno;

use super::calls::{Call, FORBIDDEN, nr};

/// The fault in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// The call of this number, from 0, fails.
    Fails(usize, Errno),
    /// Every call with this system call's number fails, as under a seccomp filter.
    Everywhere(i64, Errno),
    /// The call of this number is not made, and returns this.
    Returns(usize, i64),
    /// It is made with another value of an argument.
    With(usize, usize, i64),
}

impl Injection {
    /// The errno that the call of this index gets; `None` if the call is left alone, or changed in
    /// another way.
    pub fn errno(&self, index: usize, call: &Call) -> Option<Errno> {
        match *self {
            Injection::Fails(at, errno) => (at == index).then_some(errno),
            Injection::Everywhere(number, errno) => (number == call.nr).then_some(errno),
            Injection::Returns(..) | Injection::With(..) => None,
        }
    }

    /// The fault as a word of a job. `calls` are those of a run that is the same up to the fault.
    pub fn word(&self, calls: &[Call]) -> String {
        match *self {
            // A close(2) that fails has closed the descriptor all the same, unless the error says
            // that there was no such call.
            Injection::Fails(index, errno) if calls[index].nr == nr::CLOSE && !FORBIDDEN.contains(&errno) => {
                format!("{index}~{}", -(errno as i64))
            }
            Injection::Fails(index, errno) => format!("{index}={}", -(errno as i64)),
            Injection::Everywhere(number, errno) => format!("*{number}={}", -(errno as i64)),
            Injection::Returns(index, result) => format!("{index}={result}"),
            Injection::With(index, argument, value) => format!("{index}:{argument}={value}"),
        }
    }
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With an exit code.
    Exit(i32),
    /// By a signal.
    Signal(i32),
    /// It did not end.
    Hang,
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The job.
    pub job: String,
    /// The interpreter's calls.
    pub calls: Vec<Call>,
    /// Whether anything ran after it.
    pub entered: bool,
    /// Its end.
    pub end: End,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// The runs that `text` reports.
    pub fn read_all(text: &str) -> Vec<Run> {
        text.split_inclusive('\n').fold(Vec::new(), |mut runs, line| {
            let (word, rest) = line.trim_end_matches('\n').split_once(' ').unwrap_or((line.trim_end(), ""));
            if word == "job" {
                let (job, end) = (rest.to_owned(), End::Hang);
                let (stdout, stderr) = (String::new(), String::new());
                runs.push(Run { job, calls: Vec::new(), entered: false, end, stdout, stderr });
                return runs;
            }
            let run = runs.last_mut().expect("a run begins with its job");
            let number = || rest.parse().unwrap_or_else(|_| panic!("no number: {line:?}"));
            match word {
                "call" => run.calls.push(call(rest)),
                "entered" => run.entered = true,
                "exit" => run.end = End::Exit(number()),
                "signal" => run.end = End::Signal(number()),
                "hang" => run.end = End::Hang,
                "stdout" => run.stdout = unescape(rest),
                "stderr" => run.stderr = unescape(rest),
                _ => panic!("inject.c says {line:?}"),
            }
            runs
        })
    }
}

fn call(text: &str) -> Call {
    let words: Vec<Option<i64>> = text.split(' ').map(|word| word.parse().ok()).collect();
    let [Some(nr), arguments @ .., result] = &words[..] else { panic!("no call: {text:?}") };
    let arguments = arguments.iter().map(|argument| argument.expect("a number"));
    let arguments: Vec<i64> = arguments.collect();
    Call { nr: *nr, arguments: arguments.try_into().expect("six of them"), result: *result }
}

/// The bytes of a text that writes unprintable ones as `\xHH`; here they are ASCII.
fn unescape(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push(char::from(u8::from_str_radix(&part[..2], 16).expect("two digits")));
        plain.push_str(&part[2..]);
    }
    plain
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "=== {}: {:?}, entered: {}", self.job, self.end, self.entered)?;
        for (index, Call { nr, arguments, result }) in self.calls.iter().enumerate() {
            writeln!(f, "{index}: call {nr} {arguments:?} = {result:?}")?;
        }
        writeln!(f, "--- stdout\n{}\n--- stderr\n{}", self.stdout.trim_end(), self.stderr.trim_end())
    }
}
