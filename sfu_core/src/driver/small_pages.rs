//! Small pages for what is made at the start: rings and tables that are large and mostly empty, in which a huge page would be
//! touched for a few bytes. What meetings take comes later, is hot, and gets huge pages where the kernel gives them.

/// While this lives, no new memory of this process comes in huge pages.
pub(crate) struct SmallPages {
    /// Whether huge pages had been allowed.
    were_huge: bool,
}

impl SmallPages {
    /// Begins. Harmless where the kernel knows no huge pages.
    pub(crate) fn begin() -> Self {
        // SAFETY: neither call takes a pointer.
        let were_huge = unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) } == 0;
        if were_huge {
            set_huge_pages(HugePages::Disabled);
        }
        Self { were_huge }
    }
}

impl Drop for SmallPages {
    fn drop(&mut self) {
        if self.were_huge {
            set_huge_pages(HugePages::Allowed);
        }
    }
}

/// What `PR_SET_THP_DISABLE` of `prctl(2)` is told.
#[derive(Clone, Copy)]
enum HugePages {
    Allowed = 0,
    Disabled = 1,
}

fn set_huge_pages(pages: HugePages) {
    // SAFETY: the call takes no pointer. Refused, it leaves things as they are, which costs memory only.
    let _refused = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, pages as libc::c_ulong, 0, 0, 0) };
}
