//! Which datagrams a link loses: independently, or in bursts (Gilbert 1960, Elliott 1963).

use crate::random::Random;

/// A model of loss.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Loss {
    /// Nothing is lost.
    #[default]
    None,
    /// Each datagram is lost with this probability, whatever happened to the one before.
    Random(f64),
    /// Loss comes in bursts.
    GilbertElliott(GilbertElliott),
}

/// A link that is good or bad for a while, and loses differently in each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GilbertElliott {
    /// Probability, per datagram, that a good link turns bad.
    pub good_to_bad: f64,
    /// Probability, per datagram, that a bad link turns good; its inverse is the mean length of a burst.
    pub bad_to_good: f64,
    /// Probability of loss while good.
    pub loss_when_good: f64,
    /// Probability of loss while bad.
    pub loss_when_bad: f64,
}

impl GilbertElliott {
    /// Bursts of `mean_burst` datagrams, all lost, so that `rate` of all datagrams are lost.
    pub fn bursts(rate: f64, mean_burst: f64) -> Self {
        let bad_to_good = 1.0 / mean_burst;
        let good_to_bad = bad_to_good * rate / (1.0 - rate);
        Self { good_to_bad, bad_to_good, loss_when_good: 0.0, loss_when_bad: 1.0 }
    }
}

/// A loss model on its way through time.
#[derive(Debug, Clone)]
pub(super) struct LossState {
    model: Loss,
    bad: bool,
}

impl LossState {
    pub(super) const fn new(model: Loss) -> Self {
        Self { model, bad: false }
    }

    /// Whether the next datagram is lost.
    pub(super) fn loses(&mut self, random: &mut Random) -> bool {
        match self.model {
            Loss::None => false,
            Loss::Random(rate) => random.chance(rate),
            Loss::GilbertElliott(model) => {
                let turn = if self.bad { model.bad_to_good } else { model.good_to_bad };
                self.bad ^= random.chance(turn);
                random.chance(if self.bad { model.loss_when_bad } else { model.loss_when_good })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_have_the_rate_and_the_length_asked_for() {
        let mut random = Random::new(1);
        let mut state = LossState::new(Loss::GilbertElliott(GilbertElliott::bursts(0.05, 4.0)));
        let lost: Vec<bool> = (0..200_000).map(|_| state.loses(&mut random)).collect();
        let total = lost.iter().filter(|&&lost| lost).count() as f64;
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        assert!((0.045..0.055).contains(&(total / 200_000.0)), "{total}");
        assert!((3.7..4.3).contains(&(total / bursts)), "{}", total / bursts);
    }
}
