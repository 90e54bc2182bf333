//! Alipay's result codes, sorted by what they let us conclude.

/// What a pair of `code` and `sub_code` lets us conclude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeClass {
    /// The call did what it is for; its fields say more.
    Success,
    /// A definite answer of the business, told apart by its `sub_code`.
    Business,
    /// An internal error: the call may have been executed or not.
    Unavailable,
    /// Refused at the entry because of a call limit.
    RateLimited,
    /// Our account, key or request is wrong.
    AccountBroken,
    /// Nothing we know.
    Other,
}

impl CodeClass {
    /// Sorts a pair of codes. An internal error is recognised by how its `sub_code` ends: it is
    /// spelt `ACQ.SYSTEM_ERROR`, `AQC.SYSTEM_ERROR` and `aop.ACQ.SYSTEM_ERROR`.
    pub(super) fn of(code: &str, sub_code: &str) -> Self {
        if sub_code.ends_with(".SYSTEM_ERROR") || sub_code.ends_with(".unknow-error") {
            return Self::Unavailable;
        }
        if sub_code.ends_with("call-limited") {
            return Self::RateLimited;
        }
        match code {
            "10000" => Self::Success,
            "40004" => Self::Business,
            "20000" => Self::Unavailable,
            "40003" | "40005" => Self::RateLimited,
            "20001" | "40001" | "40002" | "40006" => Self::AccountBroken,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CodeClass;

    #[test]
    fn codes_are_sorted_as_documented() {
        for (code, sub_code, class) in [
            ("10000", "", CodeClass::Success),
            ("40004", "ACQ.TRADE_NOT_EXIST", CodeClass::Business),
            ("40004", "ACQ.SYSTEM_ERROR", CodeClass::Unavailable),
            ("40004", "AQC.SYSTEM_ERROR", CodeClass::Unavailable),
            ("20000", "aop.ACQ.SYSTEM_ERROR", CodeClass::Unavailable),
            ("20000", "isp.unknow-error", CodeClass::Unavailable),
            ("20000", "", CodeClass::Unavailable),
            ("20001", "aop.invalid-app-auth-token", CodeClass::AccountBroken),
            ("40001", "isv.missing-signature", CodeClass::AccountBroken),
            ("40002", "isv.invalid-signature", CodeClass::AccountBroken),
            ("40006", "isv.insufficient-isv-permissions", CodeClass::AccountBroken),
            ("40006", "isv.app-call-limited", CodeClass::RateLimited),
            ("40005", "", CodeClass::RateLimited),
            ("10003", "", CodeClass::Other),
            ("", "", CodeClass::Other),
            ("010000", "", CodeClass::Other),
        ] {
            assert_eq!(CodeClass::of(code, sub_code), class, "{code} {sub_code}");
        }
    }
}
