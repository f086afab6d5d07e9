#include "fathom/ops/newton_schulz.h"

#include <array>
#include <cmath>

#include "fathom/ops/ops.h"
#include "fathom/ops/optimizer.h"

namespace fathom {
namespace {

constexpr Quintic kJordan = {3.4445, -4.7750, 2.0315};

constexpr std::array<Quintic, 8> kPolarExpress = {{
    {8.28721201814563, -23.595886519098837, 17.300387312530933},
    {4.107059111542203, -2.9478499167379106, 0.5448431082926601},
    {3.9486908534822946, -2.908902115962949, 0.5518191394370137},
    {3.3184196573706015, -2.488488024314874, 0.51004894012372},
    {2.300652019954817, -1.6689039845747493, 0.4188073119525673},
    {1.891301407787398, -1.2679958271945868, 0.37680408948524835},
    {1.8750014808534479, -1.2500016453999487, 0.3750001645474248},
    {1.875, -1.25, 0.375},
}};

}  // namespace

Tensor newton_schulz(Tensor X, const std::vector<Quintic>& steps) {
  for (const Quintic& q : steps) {
    // linear(P, Q) is P Q^T, and both A and P are symmetric.
    const Tensor A = linear(X, X, Tensor());
    const Tensor P = linear(A, A, Tensor()).mul_(q.c).add_(A, q.b);
    X = linear(P, X.t().contiguous(), Tensor()).add_(X, q.a);
  }
  return X;
}

Tensor orthogonalised(const Tensor& matrix, int64_t steps) {
  const bool tall = matrix.size(0) > matrix.size(1);
  Tensor X = (tall ? matrix.t() : matrix).contiguous();
  X = newton_schulz(X / X.norm().add_(1e-7),
                    std::vector<Quintic>(static_cast<size_t>(steps), kJordan));
  return tall ? X.t() : X;
}

Tensor polar_express(const Tensor& X, int64_t more) {
  const double norm = 1.01 * std::sqrt(squared_norm(X));
  if (norm == 0) return X;
  std::vector<Quintic> steps(kPolarExpress.begin(), kPolarExpress.end());
  steps.insert(steps.end(), static_cast<size_t>(more), kPolarExpress.back());
  return newton_schulz(X / norm, steps);
}

}  // namespace fathom
