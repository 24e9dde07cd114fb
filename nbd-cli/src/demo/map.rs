//! The block status map as a line of characters.

use anyhow::{Context as _, ensure};
use nbd_driver_std::Client;
use nbd_proto::transmission::Extent;
use nbd_proto::wire::flags::{AllocationFlags, BASE_ALLOCATION};

use super::requests::Layout;
use crate::size;

/// Characters in the line.
const CELLS: usize = 64;

pub(super) fn show(client: &Client) -> anyhow::Result<String> {
    let size = client.size();
    let extents: Vec<Extent> = client
        .block_status(BASE_ALLOCATION, 0..size)
        .and_then(Iterator::collect)
        .context("asking which parts of the disk hold data")?;
    check(&extents, size)?;
    let human = size::human(size);
    Ok(format!(
        "     |{}|\n     0{:>CELLS$}\n\n   # holds data   . is a hole: it reads as zeroes and takes no memory\n   The server told this with {BASE_ALLOCATION}, in {} parts.\n",
        line(&extents, size),
        human,
        extents.len(),
    ))
}

fn line(extents: &[Extent], size: u64) -> String {
    let mut cells = ['.'; CELLS];
    let cell = |offset: u64| (u128::from(offset) * CELLS as u128 / u128::from(size)) as usize;
    for extent in extents.iter().filter(|extent| extent.length > 0 && !is_hole(extent)) {
        // The smallest piece of data is shown too.
        cells[cell(extent.offset)..=cell(extent.offset + extent.length - 1)].fill('#');
    }
    cells.iter().collect()
}

fn is_hole(extent: &Extent) -> bool {
    AllocationFlags::from_bits_retain(extent.flags).contains(AllocationFlags::HOLE)
}

/// Errors if the map does not fit what was done to the disk.
fn check(extents: &[Extent], size: u64) -> anyhow::Result<()> {
    let end = extents.iter().try_fold(0, |at, extent| (extent.offset == at).then_some(at + extent.length));
    ensure!(end == Some(size), "the map does not cover the disk");
    let Layout { odd, long, zeroed, last, .. } = Layout::of(size);
    let hole_at = |offset| extents.iter().find(|extent| offset < extent.offset + extent.length).is_some_and(is_hole);
    for place in [odd, long, last] {
        ensure!(!hole_at(place.offset), "the map has a hole where data was written, at {}", place.offset);
    }
    let middle = zeroed.offset + zeroed.length / 2;
    ensure!(hole_at(middle), "the map has data where zeroes were written, at {middle}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use nbd_proto::transmission::Extent;

    use super::{CELLS, check, line};

    fn extents(parts: &[(u64, u64)]) -> Vec<Extent> {
        let mut offset = 0;
        let place = |&(length, flags): &(u64, u64)| {
            let extent = Extent { offset, length, flags };
            offset += length;
            extent
        };
        parts.iter().map(place).collect()
    }

    #[test]
    fn even_the_smallest_data_shows() {
        let size = i64::MAX.unsigned_abs();
        let line = line(&extents(&[(1, 0), (size - 2, 3), (1, 0)]), size);
        assert_eq!(line, format!("#{}#", ".".repeat(CELLS - 2)));
    }

    #[test]
    fn a_map_that_does_not_fit_is_an_error() {
        let size = 64 << 20;
        for parts in [&[][..], &[(size - 1, 0)], &[(size, 3)], &[(size, 0)]] {
            assert!(check(&extents(parts), size).is_err(), "{parts:?}");
        }
    }
}
