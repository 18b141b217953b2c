//! `--report`: serves what `status --metrics` prints, over HTTP. Each answer is a new look: a
//! process of its own starts the test programs.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use dispatch_core::NAME;
use dispatch_table::ArchTable;
use nix::sys::signal::{SigSet, Signal};
use tiny_http::{Header, Method, Request, Response, Server};

use super::platforms;
use crate::failure::{ContainerFault, Failure, note};
use crate::image::OWN;
use crate::output::metrics::MEDIA_TYPE;
use crate::platform::probe;

/// The port if no address is given.
const PORT: u16 = 9813;

/// Serves until a signal ends it. `expected` is the list of platforms that have to run.
///
/// # Errors
/// A name is unknown, or the address cannot be used.
pub(super) fn run(
    address: Option<SocketAddr>,
    expected: Option<&str>,
    table: &ArchTable,
    mount: &Path,
) -> Result<u8, Failure> {
    let named = expected.map(|list| platforms::named(table, "--expect", list)).transpose()?.flatten();
    let names: Vec<String> = named.unwrap_or_default().into_iter().map(|row| row.name.clone()).collect();
    // The first process of a container gets only signals that it blocks or handles. All threads
    // inherit this.
    let ending: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    // This fails only if an argument is invalid.
    let _ = ending.thread_block();
    let (server, address) = listen(address)?;
    note(format_args!("serving /metrics and /healthz at {address}"));
    let mount = mount.to_owned();
    thread::spawn(move || {
        for request in server.incoming_requests() {
            answer(request, &mount, &names);
        }
    });
    // As above.
    let _ = ending.wait();
    Ok(0)
}

/// A server at `address`, or at all addresses: IPv6 sockets take IPv4 too, but the kernel may lack
/// IPv6.
fn listen(address: Option<SocketAddr>) -> Result<(Server, SocketAddr), Failure> {
    let usual = || [(Ipv6Addr::UNSPECIFIED, PORT).into(), (Ipv4Addr::UNSPECIFIED, PORT).into()].to_vec();
    let addresses = address.map_or_else(usual, |address| vec![address]);
    let mut failure = None;
    for address in addresses {
        match Server::http(address) {
            Ok(server) => {
                let address = server.server_addr().to_ip().unwrap_or(address);
                return Ok((server, address));
            }
            Err(error) => {
                let error = match error.downcast::<std::io::Error>() {
                    Ok(error) => *error,
                    Err(error) => std::io::Error::other(error.to_string()),
                };
                failure = Some(ContainerFault::NotServed { address: address.to_string(), error });
            }
        }
    }
    Err(Failure::Container(failure.expect("there is an address")))
}

fn answer(request: Request, mount: &Path, names: &[String]) {
    let path = request.url().split('?').next().unwrap_or_default();
    let (status, text) = match (request.method(), path) {
        (Method::Get | Method::Head, "/metrics" | "/healthz") => match look(mount, names) {
            Ok(looked) if path == "/metrics" && !looked.stdout.is_empty() => (200, looked.stdout),
            Ok(looked) if looked.status.success() => (200, b"ok\n".to_vec()),
            Ok(looked) => (503, looked.stderr),
            Err(error) => (500, format!("{error}\n").into_bytes()),
        },
        (Method::Get | Method::Head, _) => (404, b"there are /metrics and /healthz\n".to_vec()),
        _ => (405, b"use GET\n".to_vec()),
    };
    let kind = Header::from_bytes("Content-Type", MEDIA_TYPE).expect("a plain header");
    // A client that has gone away needs no answer.
    let _ = request.respond(Response::from_data(text).with_status_code(status).with_header(kind));
}

/// The output of `status --metrics`.
fn look(mount: &Path, names: &[String]) -> std::io::Result<Output> {
    let mut command = Command::new(OWN);
    command.arg0(NAME).args(["status", "--metrics", "--mount"]).arg(mount).args(names);
    command.stdin(probe::nothing()?).output()
}
