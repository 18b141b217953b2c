//! What the code in a file depends on.

use crate::layout::{MODEL, Model, OriginRecord};

/// What the code in a file depends on besides the blocks themselves. QEMU uses a file only if all
/// of it is that of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Build-id of the emulator (`NT_GNU_BUILD_ID`), with zeros behind it.
    pub build: [u8; 32],
    /// Features of the host's CPU, as QEMU numbers them (`host/cpuinfo.h`); on `aarch64`, in the
    /// upper half, the length of a line of its instruction cache.
    pub features: u64,
    /// Size of the guest's pages in bytes, a power of two.
    pub page: u32,
    /// `e_machine` of the host.
    pub machine: u32,
    /// The emulated CPU, as `-cpu` names it: shorter than 80 bytes, without control characters.
    pub model: String,
}

impl Origin {
    /// Whether the emulator with this build-id made the code.
    pub fn is_of(&self, build_id: &[u8]) -> bool {
        let zeros = self.build.get(build_id.len()..);
        self.build.starts_with(build_id) && zeros.is_some_and(|zeros| zeros.iter().all(|byte| *byte == 0))
    }

    /// The origin in a header; `None` if QEMU would not have written it.
    pub(crate) fn of_record(record: &OriginRecord) -> Option<Self> {
        let OriginRecord { build, features, page, machine, model: Model(model) } = *record;
        let length = model.iter().position(|byte| *byte == 0)?;
        let (model, zeros) = model.split_at(length);
        let model = std::str::from_utf8(model).ok()?.to_owned();
        let sound = page.is_power_of_two() && zeros.iter().all(|byte| *byte == 0) && !model.contains(char::is_control);
        sound.then_some(Self { build, features, page, machine, model })
    }

    /// The same for a header. A model that is too long is cut.
    pub(crate) fn record(&self) -> OriginRecord {
        let Self { build, features, page, machine, .. } = *self;
        let mut model = [0; MODEL];
        model.iter_mut().take(MODEL - 1).zip(self.model.bytes()).for_each(|(to, from)| *to = from);
        OriginRecord { build, features, page, machine, model: Model(model) }
    }
}
