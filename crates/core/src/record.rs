//! Structures of fixed layout in a file, defined once for the writer and the reader. All numbers
//! are little-endian.

use crate::bytes;

/// A field of a [`record!`]: `SIZE` bytes, little-endian.
pub trait Field: Sized {
    /// Size in bytes.
    const SIZE: usize;
    /// Reads the field at the start of `bytes`; `None` if they are too few.
    fn read(bytes: &[u8]) -> Option<Self>;
    /// Passes the field's bytes to `sink`, in order.
    fn write(&self, sink: &mut impl FnMut(&[u8]));
}

macro_rules! number {
    ($($kind:ty),*) => {$(
        impl Field for $kind {
            const SIZE: usize = size_of::<$kind>();
            #[inline(always)]
            fn read(bytes: &[u8]) -> Option<Self> {
                bytes::array(bytes, 0).map(<$kind>::from_le_bytes)
            }
            fn write(&self, sink: &mut impl FnMut(&[u8])) {
                sink(&self.to_le_bytes());
            }
        }
    )*};
}
number!(u8, u16, u32, u64);

impl<const N: usize> Field for [u8; N] {
    const SIZE: usize = N;
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes::array(bytes, 0)
    }
    fn write(&self, sink: &mut impl FnMut(&[u8])) {
        sink(self);
    }
}

/// Declares a structure whose fields follow each other in a file, without padding.
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_meta])* pub $field: $kind,)* }

        impl $crate::record::Field for $name {
            const SIZE: usize = 0 $(+ <$kind as $crate::record::Field>::SIZE)*;
            #[inline(always)]
            fn read(bytes: &[u8]) -> Option<Self> {
                // Checked once, so that the compiler need not check each field.
                let record = bytes.first_chunk::<{ <$name as $crate::record::Field>::SIZE }>()?;
                let mut rest = record.as_slice();
                $(
                    let $field = <$kind as $crate::record::Field>::read(rest)?;
                    rest = rest.get(<$kind as $crate::record::Field>::SIZE..)?;
                )*
                let _ = rest;
                Some($name { $($field,)* })
            }
            fn write(&self, sink: &mut impl FnMut(&[u8])) {
                $($crate::record::Field::write(&self.$field, sink);)*
            }
        }
    };
}
pub use record;

record! {
    /// A range of bytes.
    pub struct Extent {
        /// Bytes from the start of the containing structure.
        pub offset: u64,
        /// Length in bytes.
        pub len: u64,
    }
}

impl Extent {
    /// One past the last byte.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}
