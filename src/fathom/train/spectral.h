// Spectral control: after an update the singular values of the model's inner matrices are brought
// down to beta, W = U diag(s) V' -> U diag(min(s, beta)) V', the nearest point of the spectral ball
// in the Frobenius norm. Its keys are in recipe/spectral_config.h.
//
// Whether a matrix is touched is decided by its exact largest singular value alone: where that is
// not above beta, not a bit changes. So a value that is known not to be above it need not be
// computed, and by Weyl's inequality |s(W) - s(A)| <= |W - A|_F that is known of every W near an A
// whose value was computed. The bound only saves work; nothing of it is kept in a checkpoint, for a
// resumed run that begins without one writes the same bytes.
//
// kReferenceNs5 is the exception: its five steps change matrices below beta too, so it acts on all
// of them, each time. It is computed in single precision where the published program had half.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fathom/ops/tensor.h"
#include "fathom/train/optimizer.h"
#include "fathom/train/recipe/spectral_config.h"

namespace fathom {

// Of a matrix (n, m) of finite numbers, in double precision.
double largest_singular_value(const Tensor& matrix);

// W (n, m), finite and not zero, with singular values of at most beta, whatever they were; a new
// tensor of W's dtype. kSvd does so in double precision, the others in single (of double weights:
// in double) by
//   M = msign(W),  D = beta M - W,  (beta M + W - D msign(D)' M) / 2
// for min(s, beta) = (beta + s - |beta - s|) / 2. kPolarExpress: at most 1.002 beta, and s where it
// is below beta and above |W|_F / 1000, to 2e-3 beta; smaller ones may rise to beta / 8.
// `ns_steps`: of kReferenceNs5, whose values reach from 0.7 to 1.7 beta and more.
Tensor spectrally_clipped(const Tensor& W, const SpectralConfig& config, int64_t ns_steps);

class SpectralControl {
 public:
  SpectralControl() = default;  // of nothing
  // Acts on the parameters of two dimensions that are neither tables, signals nor heads; of more
  // dimensions, on each matrix of the last two; and with `split_qkv` on the blocks of an
  // attention's joint map. What of an optimiser's state are weights too (schedule-free's averages)
  // is controlled with its parameter. Tensors are those that the two have now.
  SpectralControl(const ParameterSet& parameters, const Optimizer& optimizer,
                  const SpectralConfig& config, int64_t ns_steps);

  // Once an update has been made, the `updates`-th. What is frozen for now stays as it is.
  // `reports`: returns numbers, else nothing:
  //   spectral/before/<tensor>, spectral/after/<tensor>   its largest singular value
  //   spectral/largest                                    of these after
  //   spectral/clipped, spectral/left_alone               matrices; zero or not finite
  // <tensor> is a parameter's name, with ".q." in place of ".qkv." of a split one, "/2" behind it
  // of several matrices. Zeros and what is not finite have no value.
  std::map<std::string, double> after_update(int64_t updates, bool reports);

  // Since it was made.
  struct Counts {
    int64_t skipped = 0;   // by the bound
    int64_t measured = 0;  // largest singular values computed
    int64_t clipped = 0;
    int64_t zero = 0, not_finite = 0;  // left as they were
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Matrix {
    std::string name;  // empty: a part of the optimiser's state
    Tensor parameter;  // whose gradient says whether it is trained
    Tensor weights;    // (n, m), the parameter's memory
    // A copy of the weights whose largest singular value is below beta, and that value. Undefined:
    // there is none.
    Tensor anchor = {};
    double at_anchor = 0;
  };
  struct Outcome {
    bool clipped = false, left_alone = false;
    double before = -1, after = -1;  // -1: not known
  };
  void add(const std::string& name, const ParameterSpec& spec, const Tensor& parameter,
           const Tensor& weights);
  bool is_within_bound(const Matrix& matrix) const;
  double measure(Matrix& matrix);
  Outcome control(Matrix& matrix, bool acts, bool reports);

  SpectralConfig config_;
  int64_t ns_steps_ = 0;
  std::vector<Matrix> matrices_;
  Counts counts_;
};

}  // namespace fathom
