//! The vectors that this machine has, and functions that are compiled for each kind of them.

use std::sync::OnceLock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vectors {
    Avx512,
    Avx2,
    Portable,
}

/// What this machine has.
pub(crate) fn vectors() -> Vectors {
    static FOUND: OnceLock<Vectors> = OnceLock::new();
    *FOUND.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            let has_fma = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
            // All that `for_vectors` and the kernel enable: the first machines with AVX-512 had the first alone.
            let has_512 = std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512bw")
                && std::arch::is_x86_feature_detected!("avx512vl")
                && std::arch::is_x86_feature_detected!("avx512dq");
            if has_fma && has_512 {
                return Vectors::Avx512;
            }
            if has_fma {
                return Vectors::Avx2;
            }
        }
        Vectors::Portable
    })
}

/// Makes a function that is compiled once for each kind of vectors, from one body without intrinsics: the same bits.
macro_rules! for_vectors {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? = $body:ident) => {
        $(#[$meta])*
        #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calling what the machine was found to have"))]
        $visibility fn $name($($argument: $kind),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
                unsafe fn wide($($argument: $kind),*) $(-> $result)? {
                    $body($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                unsafe fn half($($argument: $kind),*) $(-> $result)? {
                    $body($($argument),*)
                }
                match $crate::decoder::vectors::vectors() {
                    // SAFETY: these features were found on this machine.
                    $crate::decoder::vectors::Vectors::Avx512 => return unsafe { wide($($argument),*) },
                    // SAFETY: likewise.
                    $crate::decoder::vectors::Vectors::Avx2 => return unsafe { half($($argument),*) },
                    $crate::decoder::vectors::Vectors::Portable => {}
                }
            }
            $body($($argument),*)
        }
    };
}
pub(crate) use for_vectors;
