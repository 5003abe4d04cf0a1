//! Limiters broken on purpose, each in one way, to show that a check sees it.
//!
//! Owns the list and what each is supposed to be caught by. Never used outside of tests and of the
//! load tester's own trial of itself.

/// A way to break the limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Draws take whatever is there, whoever else is waiting.
    Greedy,
    /// The rate is a twentieth too high.
    FivePercent,
    /// The burst is twice what was asked for.
    DoubleBurst,
    /// Draws reuse the reading their turn began with.
    CachedClock,
    /// One member is passed over each time its turn comes.
    StarvedMember,
    /// Cores keep the weight they joined with.
    NeverRebalance,
}

impl Mutant {
    /// Every mutant.
    pub const ALL: [Self; 6] = [
        Self::Greedy,
        Self::FivePercent,
        Self::DoubleBurst,
        Self::CachedClock,
        Self::StarvedMember,
        Self::NeverRebalance,
    ];

    /// Returns the name used on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Greedy => "greedy",
            Self::FivePercent => "five-percent",
            Self::DoubleBurst => "double-burst",
            Self::CachedClock => "cached-clock",
            Self::StarvedMember => "starved-member",
            Self::NeverRebalance => "never-rebalance",
        }
    }

    /// Returns the scenario and the check in it that must see this mutant.
    #[must_use]
    pub const fn caught_by(self) -> (&'static str, &'static str) {
        match self {
            Self::Greedy => ("slow", "least share"),
            Self::FivePercent => ("even", "excess"),
            Self::DoubleBurst => ("idle-start", "excess"),
            Self::CachedClock => ("bursts", "excess"),
            Self::StarvedMember => ("even", "longest wait"),
            Self::NeverRebalance => ("skew", "least share"),
        }
    }
}
