//! Any bytes as a compiled table: the reader refuses it or reads it, and at most one row is chosen.

use dispatch_core::elf::{Class, Data, Header, Machine};
use dispatch_core::image::ImageFault;
use dispatch_core::record::Field;
use dispatch_core::table::{Identity, Row, TABLE_MAGIC, Table, TableHeader};
use dispatch_core::{Guest, Refusal, Rule};

/// Largest number of `EI_OSABI` values of a row for which the test derives rules. The writer's are
/// distinct, and so are fewer.
const OSABI: usize = 256;

/// A file that an input is unlikely to have.
const NOBODYS: Identity = Identity { size: 0x5eed, inode: 0x5eed, seconds: 0x5eed, nanoseconds: 0x5eed };

/// Returns whether it is a table whose rows can all be read.
pub fn run(bytes: &[u8]) -> bool {
    // Few inputs begin with the magic by chance.
    let mut bytes = bytes.to_vec();
    if let Some(magic) = bytes.get_mut(..TABLE_MAGIC.len()) {
        magic.copy_from_slice(&TABLE_MAGIC);
    }
    let Ok(table) = Table::read(&bytes) else { return false };
    assert!(TableHeader::read(&bytes).is_some_and(|header| table.rows().count() == header.rows as usize));
    for row in table.rows().flatten() {
        for file in table.asked(&row).map(|asked| asked.file).into_iter().chain([NOBODYS]) {
            let mut fitted = row;
            let known = table.fit(&mut fitted, file).is_ok() && file != NOBODYS;
            let tuning = |row: &Row<'_>| (row.cpus().iter().count(), row.options().iter().count(), row.lacks());
            let asked = table.asked(&row).filter(|_| known).map(|asked| tuning(&asked.row));
            assert_eq!(tuning(&fitted), asked.unwrap_or(tuning(&row)), "no file but that is given what was asked for");
        }
        let lists = [row.paths(), row.cpus(), row.options(), row.environment(), row.sysroots()];
        let strings = lists.into_iter().flat_map(dispatch_core::bytes::Strings::iter);
        strings.chain([row.name()]).for_each(|string| assert!(string.to_bytes().len() < bytes.len()));
        for (directory, below) in table.below(&row).flatten() {
            for secure in [false, true] {
                let mut fitted = row;
                if table.fit_to_path(&mut fitted, directory, secure).is_ok() && fitted.is(&below) {
                    assert!(!secure || below.program() != 0, "rule 1");
                }
                let mut elsewhere = row;
                let result = table.fit_to_path(&mut elsewhere, b"", secure);
                let empty = |row: &Row<'_>| table.below(row).flatten().any(|(directory, _)| directory.is_empty());
                assert!(result.is_err() || elsewhere == row || empty(&row));
            }
        }
        for machine in row.machines().take(3) {
            choose(
                &table,
                &row.osabi()[..row.osabi().len().min(3)],
                machine,
                row.class(),
                row.data(),
                row.flags_value(),
            );
            choose(&table, &[77], machine, row.class(), row.data(), !row.flags_value());
        }
        if row.osabi().len() <= OSABI && row.machines().count() == 1 {
            let blocks: Vec<_> = Rule::of_row(&row).map(|rule| rule.osabi).collect();
            let osabi: Vec<u8> = (0..=255).filter(|&value| blocks.iter().any(|block| block.accepts(value))).collect();
            assert!(osabi.iter().all(|value| row.osabi().contains(value)), "the kernel would pass on too much");
            assert!(row.osabi().iter().all(|value| osabi.contains(value)), "the kernel would pass on too little");
        }
    }
    table.rows().all(|row| row.is_ok())
}

fn choose(table: &Table<'_>, osabi: &[u8], machine: Machine, class: Class, data: Data, flags: u32) {
    for &osabi in osabi {
        let header = Header { class, data, osabi, kind: 2, machine, entry: 0, phoff: 0, flags, phnum: 0 };
        let guest = Guest { header };
        match table.choose(&guest) {
            Ok(row) => assert!(row.accepts(&guest)),
            Err(refusal) => {
                let fits = table.rows().take_while(std::result::Result::is_ok).flatten().any(|row| row.accepts(&guest));
                assert!(!fits, "{refusal}");
                // A row without OSABI values accepts nothing, and the message has none to name.
                let bad = table.rows().any(|row| row.is_err());
                let empty = table.rows().flatten().any(|row| row.osabi().is_empty());
                let corrupt = matches!(refusal, Refusal::BadImage(ImageFault::Corrupt));
                assert!(if bad { corrupt } else { empty || !corrupt }, "{refusal}");
                assert!(!refusal.to_string().contains(char::is_control), "{refusal}");
            }
        }
    }
}
