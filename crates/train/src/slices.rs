//! Reading and updating a tensor's f32 entries where they lie: no copy, no second allocation.

use candle_core::{CpuStorage, InplaceOp1, Layout, Storage, Tensor, Var};
use std::cell::RefCell;

/// Gives `read` the entries of a contiguous f32 tensor in memory order.
pub(crate) fn with_entries<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> candle_core::Result<R> {
    let (guard, layout) = tensor.storage_and_layout();
    match (&*guard, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((start, end))) => Ok(read(&storage.as_slice::<f32>()?[start..end])),
        (Storage::Cpu(_), None) => {
            drop(guard);
            Ok(read(&tensor.flatten_all()?.to_vec1::<f32>()?))
        }
        _ => candle_core::bail!("expected a tensor on the CPU"),
    }
}

/// Gives `write` the entries of a variable to change in place.
pub(crate) fn update_entries(variable: &Var, mut write: impl FnMut(&mut [f32])) -> candle_core::Result<()> {
    variable.inplace_op1(&InPlace(RefCell::new(&mut write)))
}

type Update<'a> = dyn FnMut(&mut [f32]) + 'a;

struct InPlace<'a>(RefCell<&'a mut Update<'a>>);

impl InplaceOp1 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "update-entries"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(entries), Some((start, end))) => {
                (self.0.borrow_mut())(&mut entries[start..end]);
                Ok(())
            }
            _ => candle_core::bail!("expected a contiguous f32 variable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn entries_are_read_in_order_and_changed_in_place() {
        let variable = Var::new(&[[1_f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let view = variable.as_tensor().clone();
        update_entries(&variable, |entries| entries.iter_mut().for_each(|entry| *entry *= 2.0)).unwrap();
        assert_eq!(with_entries(&view, <[f32]>::to_vec).unwrap(), [2.0, 4.0, 6.0, 8.0]);
        assert_eq!(with_entries(&view.t().unwrap(), <[f32]>::to_vec).unwrap(), [2.0, 6.0, 4.0, 8.0]);
    }
}
