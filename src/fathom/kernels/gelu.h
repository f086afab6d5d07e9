// Gaussian error linear units, and the SiLU of the same paper (Hendrycks and Gimpel 2016).
#pragma once

namespace fathom {

enum class GeluForm {
  kExact,  // x times the normal distribution's integral up to x
  kTanh,   // its approximation by tanh, as GPT-2 has it
  kSilu,   // x times the logistic function of x
};

}  // namespace fathom
