// Gaussian error linear units (Hendrycks and Gimpel 2016).
#pragma once

namespace fathom {

enum class GeluForm {
  kExact,  // x times the normal distribution's integral up to x
  kTanh,   // its approximation by tanh, as GPT-2 has it
};

}  // namespace fathom
