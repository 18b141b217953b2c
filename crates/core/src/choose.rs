//! Chooses the architecture whose emulator runs the guest, or says why there is none.

use crate::elf::Header;
use crate::table::{Row, Table};
use crate::{Guest, Refusal};

impl<'a> Table<'a> {
    /// The row for `guest`. At most one row accepts a header: the writer refuses a table in which
    /// two do.
    ///
    /// # Errors
    /// Says why no row fits: the operating system, the variant of a known machine, or the machine.
    pub fn choose(&self, guest: &Guest) -> Result<Row<'a>, Refusal<'a>> {
        let header = guest.header;
        // For the message, if no row accepts it: the nearest one.
        let mut refusal = Refusal::UnknownMachine(header.machine);
        let mut nearest = None;
        for row in self.rows() {
            let row = row?;
            if row.accepts(guest) {
                return Ok(row);
            }
            if !row.machines().any(|machine| machine == header.machine) {
                continue;
            }
            let Some(&osabi) = row.osabi().first() else { continue };
            let foreign = row.accepts(&Guest { header: Header { osabi, ..header } });
            // The first row with this machine is its usual one; the byte order and the class decide
            // among the rest, unless only the operating system differs.
            let near = Some((foreign, row.data() == header.data, row.class() == header.class));
            if near > nearest {
                nearest = near;
                refusal = if foreign {
                    Refusal::ForeignSystem { osabi: header.osabi }
                } else {
                    Refusal::UnknownVariant {
                        machine: row.name(),
                        class: header.class,
                        data: header.data,
                        flags: header.flags,
                    }
                };
            }
        }
        Err(refusal)
    }
}
