// Spectral control: what becomes of singular values, which matrices are meant, and when nothing
// needs to be computed.
#include "fathom/train/spectral.h"

#include <ATen/ops/eye.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "model/testing.h"

namespace fathom::testing {
namespace {

using Spectrum = std::vector<double>;

const Spectrum kEight = {0.1, 0.2, 0.5, 0.9, 1, 1.1, 2, 5};

// W = U diag(values) V, where U and V are reflections: their own inverses.
struct KnownSpectrum {
  Tensor U, V, W;

  KnownSpectrum(const Spectrum& values, int64_t rows, int64_t columns)
      : U(reflection(rows, 1)), V(reflection(columns, 2)), W(with(values)) {}

  Tensor with(const Spectrum& values) const {
    const int64_t rows = U.size(0), columns = V.size(0);
    Spectrum s(size_t(rows * columns));
    for (size_t i = 0; i < values.size(); ++i) s[i * size_t(columns) + i] = values[i];
    return U.matmul(tensor_of(s, {rows, columns})).matmul(V);
  }
  // Of W or what became of it, in the same order.
  Spectrum values_of(const Tensor& clipped) const {
    const Tensor diagonal = U.matmul(clipped.to(at::kDouble)).matmul(V);
    Spectrum values;
    for (int64_t i = 0; i < std::min(diagonal.size(0), diagonal.size(1)); ++i)
      values.push_back(diagonal.select(0, i).select(0, i).item<double>());
    return values;
  }

 private:
  static Tensor reflection(int64_t n, unsigned seed) {
    const Tensor v = random_normal({n, 1}, seed);
    return at::eye(n, at::TensorOptions(at::kDouble)) - v.matmul(v.t()) * 2 / (v * v).sum();
  }
};

SpectralConfig spectral(double beta, SpectralMethod method = SpectralMethod::kPolarExpress) {
  SpectralConfig config;
  config.clip_beta = beta;
  config.method = method;
  return config;
}

Spectrum at_most(double beta, Spectrum values) {
  for (double& s : values) s = std::min(s, beta);
  return values;
}

double spectral_norm(const Spectrum& values) {
  double squares = 0;
  for (const double s : values) squares += s * s;
  return std::sqrt(squares);
}

// The polynomials of singular values alone.
Spectrum express_sign(Spectrum values, double beta_of_difference = 0) {
  const std::vector<std::array<double, 3>> steps = {
      {8.28721201814563, -23.595886519098837, 17.300387312530933},
      {4.107059111542203, -2.9478499167379106, .5448431082926601},
      {3.9486908534822946, -2.908902115962949, .5518191394370137},
      {3.3184196573706015, -2.488488024314874, .51004894012372},
      {2.300652019954817, -1.6689039845747493, .4188073119525673},
      {1.891301407787398, -1.2679958271945868, .37680408948524835},
      {1.8750014808534479, -1.2500016453999487, .3750001645474248},
      {1.875, -1.25, .375}};
  const double norm = spectral_norm(values);
  size_t more = 0;
  if (beta_of_difference > 0)
    for (double rest = norm; rest > 50 * beta_of_difference; rest /= 1.875) ++more;
  for (double& s : values) {
    s /= 1.01 * norm;
    for (size_t i = 0; i < steps.size() + more; ++i) {
      const auto& [a, b, c] = steps[std::min(i, steps.size() - 1)];
      s = a * s + b * std::pow(s, 3) + c * std::pow(s, 5);
    }
  }
  return values;
}

Spectrum express_clip(const Spectrum& values, double beta) {
  const Spectrum m = express_sign(values);
  Spectrum d, out;
  for (size_t i = 0; i < values.size(); ++i) d.push_back(beta * m[i] - values[i]);
  const Spectrum sign = express_sign(d, beta);
  for (size_t i = 0; i < values.size(); ++i)
    out.push_back((beta * m[i] + values[i] - d[i] * sign[i] * m[i]) / 2);
  return out;
}

TEST(SpectralClip, BySvdIsTheNearestMatrixOfTheBall) {
  const SpectralConfig config = spectral(1, SpectralMethod::kSvd);
  for (const auto& [rows, columns] : {std::pair{8, 11}, {11, 8}, {8, 8}})
    for (const auto dtype : {at::kDouble, at::kFloat}) {
      SCOPED_TRACE(::testing::Message() << rows << " by " << columns);
      const double tolerance = dtype == at::kDouble ? 1e-13 : 2e-6;
      const KnownSpectrum known(kEight, rows, columns);
      const Tensor once = spectrally_clipped(known.W.to(dtype), config, 5);
      EXPECT_EQ(once.scalar_type(), dtype);
      EXPECT_LE(max_difference(once, known.with(at_most(1, kEight))), tolerance);
      EXPECT_LE(max_difference(spectrally_clipped(once, config, 5), once), tolerance);
    }
}

// Below beta nothing is lifted, as Polar Express does it.
TEST(SpectralClip, BySvdKeepsTheSmallestValues) {
  const Spectrum values = {1e-5, 0.5, 2};
  const KnownSpectrum known(values, 3, 5);
  const Spectrum exact =
      known.values_of(spectrally_clipped(known.W, spectral(1, SpectralMethod::kSvd), 5));
  EXPECT_NEAR(exact[0], 1e-5, 1e-14);
  const double lifted = known.values_of(spectrally_clipped(known.W, spectral(1), 5))[0];
  EXPECT_GT(lifted, 1e-3);
  EXPECT_LT(lifted, 0.13);
}

TEST(SpectralClip, OfAnyMethodKnowsNoUpright) {
  const Tensor W = KnownSpectrum(kEight, 8, 11).W.to(at::kFloat);
  for (const SpectralMethod method :
       {SpectralMethod::kSvd, SpectralMethod::kPolarExpress, SpectralMethod::kReferenceNs5}) {
    const SpectralConfig config = spectral(0.7, method);
    EXPECT_TRUE(
        same_bits(spectrally_clipped(W.t(), config, 5), spectrally_clipped(W, config, 5).t()));
  }
}

// Values up to thousands of beta, and down to a millionth of it.
TEST(SpectralClip, ByPolarExpressKeepsWithinTwoThousandths) {
  Spectrum ramp, far, decades;
  for (int i = 0; i < 40; ++i) {
    ramp.push_back(0.001 + 0.03 * i);
    far.push_back(0.9 + 60 * std::pow(i / 39.0, 2));
    decades.push_back(std::pow(10, -6 + 8.0 * i / 39));
  }
  for (const double beta : {1.0, 0.3})
    for (const Spectrum& values : {kEight, ramp, far, decades, Spectrum(40, 1.0005)}) {
      const auto n = static_cast<int64_t>(values.size());
      const KnownSpectrum known(values, n, n + 9);
      const Tensor clipped = spectrally_clipped(known.W.to(at::kFloat), spectral(beta), 5);
      EXPECT_EQ(clipped.scalar_type(), at::kFloat);
      EXPECT_LE(largest_singular_value(clipped), 1.002 * beta);
      const Spectrum after = known.values_of(clipped), formula = express_clip(values, beta);
      for (size_t i = 0; i < values.size(); ++i) {
        SCOPED_TRACE(::testing::Message() << "beta " << beta << ", of " << values[i]);
        EXPECT_NEAR(after[i], formula[i], 1e-3 * beta);
        if (values[i] <= 1e-3 * spectral_norm(values)) continue;
        EXPECT_NEAR(after[i], std::min(values[i], beta), 2e-3 * beta);
      }
      EXPECT_LE(max_difference(clipped, known.with(after)), 1e-3 * beta) << "the vectors stay";
    }
}

TEST(SpectralClip, ByPolarExpressOfGaussianNumbers) {
  const Tensor W = random_normal({48, 64}, 3) * 0.1;
  const Tensor clipped = spectrally_clipped(W.to(at::kFloat), spectral(1), 5);
  EXPECT_GT(largest_singular_value(W), 1.3);
  EXPECT_LE(largest_singular_value(clipped), 1.002);
  EXPECT_LE(max_difference(clipped, spectrally_clipped(W, spectral(1, SpectralMethod::kSvd), 5)),
            1e-3);
}

// {.196, .285, .551, .898, .998, .859, 1.19, 1.67}: no cap.
TEST(SpectralClip, ByTheReferenceIsItsTable) {
  const Spectrum table = {0.19554, 0.28474, 0.55048, 0.89792, 0.99815, 0.85859, 1.19124, 1.66792};
  const KnownSpectrum known(kEight, 8, 11);
  const SpectralConfig config = spectral(1, SpectralMethod::kReferenceNs5);
  const Spectrum after = known.values_of(spectrally_clipped(known.W.to(at::kFloat), config, 5));
  for (size_t i = 0; i < table.size(); ++i) EXPECT_NEAR(after[i], table[i], 1e-3) << kEight[i];
  const Spectrum fewer = known.values_of(spectrally_clipped(known.W.to(at::kFloat), config, 2));
  EXPECT_GT(std::abs(fewer[0] - table[0]), 1e-3) << "the number of steps counts";
}

TEST(LargestSingularValue, IsExact) {
  EXPECT_NEAR(largest_singular_value(KnownSpectrum(kEight, 8, 11).W), 5, 1e-13);
  EXPECT_NEAR(largest_singular_value(KnownSpectrum(kEight, 11, 8).W.to(at::kFloat)), 5, 1e-5);
  EXPECT_NEAR(largest_singular_value(tensor_of({3, 4}, {2, 1})), 5, 1e-15);
  for (const double scale : {1e-30, 1e30})
    EXPECT_NEAR(largest_singular_value(KnownSpectrum(kEight, 9, 9).W * scale) / scale, 5, 1e-12);
}

// Of every part one, with values far above 1.
std::vector<ParameterSpec> parameters_of_every_part() {
  const InitRule wild = {InitRule::kNormal, 2.0};
  return {{"token_table.0.weight", {6, 4}, Part::kTokenTable, wild},
          {"position_table.weight", {5, 4}, Part::kPositionTable, wild},
          {"norm_in.0.weight", {4}, Part::kNorm, wild},
          {"head.0.weight", {6, 4}, Part::kHead, wild},
          {"mlp.0.up.bias", {8}, Part::kMlp, wild},
          {"attention.0.qkv.weight", {12, 4}, Part::kAttention, wild},
          {"attention.0.out.weight", {4, 4}, Part::kAttention, wild},
          {"mlp.0.up.weight", {8, 4}, Part::kMlp, wild},
          {"adapter.0.weight", {4, 8}, Part::kAdapter, wild},
          {"gate.0.weight", {4, 4}, Part::kGate, wild},
          {"own.stack", {3, 4, 5}, Part::kOwn, wild}};
}
constexpr size_t kOuter = 5;  // those before attention's

std::vector<Tensor> copies_of(const ParameterSet& parameters) {
  std::vector<Tensor> copies;
  for (const Parameter& p : parameters.all()) copies.push_back(p.tensor.detach().clone());
  return copies;
}

Tensor detached(const ParameterSet& parameters, const std::string& name) {
  return parameters.at(name).detach();
}

TEST(SpectralControl, ActsOnInnerMatricesAlone) {
  for (const SpectralMethod method : {SpectralMethod::kSvd, SpectralMethod::kPolarExpress}) {
    const ParameterSet parameters(parameters_of_every_part(), 1, at::kCPU);
    const std::vector<Tensor> before = copies_of(parameters);
    SpectralControl control(parameters, Optimizer(parameters, {}), spectral(1, method), 5);
    EXPECT_TRUE(control.after_update(1, /*reports=*/false).empty());
    for (size_t i = 0; i < before.size(); ++i) {
      const Parameter& p = parameters.all()[i];
      SCOPED_TRACE(p.spec.name);
      EXPECT_EQ(same_bits(p.tensor, before[i]), i < kOuter);
      EXPECT_TRUE(p.tensor.requires_grad());
      if (i < kOuter) continue;
      const Tensor matrices = p.tensor.detach().view({-1, p.tensor.size(-2), p.tensor.size(-1)});
      for (int64_t k = 0; k < matrices.size(0); ++k)
        EXPECT_NEAR(largest_singular_value(matrices.select(0, k)), 1, 2e-3);
    }
    EXPECT_EQ(control.counts().clipped, 8);
    EXPECT_EQ(control.counts().measured, 8);
  }
}

TEST(SpectralControl, LeavesWhatIsFrozen) {
  ParameterSet parameters(parameters_of_every_part(), 1, at::kCPU);
  std::vector<bool> frozen(parameters.all().size());
  frozen[kOuter + 1] = true;
  parameters.freeze(frozen);
  const std::vector<Tensor> before = copies_of(parameters);
  SpectralControl control(parameters, Optimizer(parameters, {}), spectral(1), 5);
  parameters.at("mlp.0.up.weight").set_requires_grad(false);  // until a later step
  control.after_update(1, false);
  EXPECT_TRUE(same_bits(parameters.at("attention.0.out.weight"), before[kOuter + 1]));
  EXPECT_TRUE(same_bits(parameters.at("mlp.0.up.weight"), before[kOuter + 2]));
  parameters.at("mlp.0.up.weight").set_requires_grad(true);
  control.after_update(2, false);
  EXPECT_TRUE(same_bits(parameters.at("attention.0.out.weight"), before[kOuter + 1]));
  EXPECT_LE(largest_singular_value(detached(parameters, "mlp.0.up.weight")), 1.002);
}

TEST(SpectralControl, OfBetaZeroDoesNothing) {
  const ParameterSet parameters(parameters_of_every_part(), 1, at::kCPU);
  const std::vector<Tensor> before = copies_of(parameters);
  SpectralControl control(parameters, Optimizer(parameters, {}), spectral(0), 5);
  EXPECT_TRUE(control.after_update(1, true).empty());
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_TRUE(same_bits(parameters.all()[i].tensor, before[i]));
  EXPECT_EQ(control.counts().measured, 0);
}

TEST(SpectralControl, BelowBetaChangesNotABit) {
  for (const SpectralMethod method : {SpectralMethod::kSvd, SpectralMethod::kPolarExpress}) {
    const ParameterSet parameters(parameters_of_every_part(), 1, at::kCPU);
    const std::vector<Tensor> before = copies_of(parameters);
    SpectralControl control(parameters, Optimizer(parameters, {}), spectral(50, method), 5);
    for (int update = 1; update < 4; ++update) control.after_update(update, false);
    for (size_t i = 0; i < before.size(); ++i)
      EXPECT_TRUE(same_bits(parameters.all()[i].tensor, before[i]));
    EXPECT_EQ(control.counts().measured, 8);
    EXPECT_EQ(control.counts().skipped, 16);
  }
}

// The reference changes what is below beta too, whatever is known of it.
TEST(SpectralControl, TheReferenceActsOnAllEachTime) {
  const ParameterSet parameters(parameters_of_every_part(), 1, at::kCPU);
  const SpectralConfig config = spectral(50, SpectralMethod::kReferenceNs5);
  SpectralControl control(parameters, Optimizer(parameters, {}), config, 5);
  for (int update = 1; update < 4; ++update) {
    const Tensor before = detached(parameters, "mlp.0.up.weight").clone();
    control.after_update(update, /*reports=*/update == 2);
    EXPECT_FALSE(same_bits(detached(parameters, "mlp.0.up.weight"), before)) << update;
  }
  EXPECT_EQ(control.counts().clipped, 24);
  EXPECT_EQ(control.counts().measured, 16) << "before and after, where it is reported";
}

// A walk out of the ball and along it: one that keeps the bound, and one that knows nothing of
// what was before.
TEST(SpectralControl, TheBoundSavesWorkAndNotABit) {
  const std::vector<ParameterSpec> table = {
      {"mlp.0.up.weight", {6, 8}, Part::kMlp, {InitRule::kNormal, 0.02}}};
  for (const SpectralMethod method : {SpectralMethod::kSvd, SpectralMethod::kPolarExpress}) {
    const ParameterSet bound(table, 1, at::kCPU), anew(table, 1, at::kCPU);
    SpectralControl control(bound, Optimizer(bound, {}), spectral(1, method), 5);
    for (int update = 1; update <= 100; ++update) {
      const Tensor move = (random_normal({6, 8}, unsigned(update)) * 0.03).to(at::kFloat);
      for (const ParameterSet* set : {&bound, &anew}) detached(*set, "mlp.0.up.weight").add_(move);
      control.after_update(update, false);
      SpectralControl(anew, Optimizer(anew, {}), spectral(1, method), 5)
          .after_update(update, /*reports=*/update % 7 == 0);
      ASSERT_TRUE(same_bits(bound.at("mlp.0.up.weight"), anew.at("mlp.0.up.weight"))) << update;
    }
    EXPECT_EQ(control.counts().measured + control.counts().skipped, 100);
    EXPECT_GT(control.counts().skipped, 10);
    EXPECT_GT(control.counts().clipped, 3);
  }
}

TEST(SpectralControl, ComesEverySoManyUpdates) {
  const ParameterSet parameters(parameters_of_every_part(), 1, at::kCPU);
  SpectralConfig config = spectral(1);
  config.every = 3;
  SpectralControl control(parameters, Optimizer(parameters, {}), config, 5);
  const std::vector<Tensor> before = copies_of(parameters);
  for (const int64_t update : {1, 2}) {
    const auto numbers = control.after_update(update, /*reports=*/true);
    EXPECT_TRUE(same_bits(parameters.at("gate.0.weight"), before[kOuter + 4]));
    EXPECT_GT(numbers.at("spectral/after/gate.0.weight"), 1);
    EXPECT_EQ(numbers.at("spectral/clipped"), 0);
  }
  control.after_update(3, false);
  EXPECT_FALSE(same_bits(parameters.at("gate.0.weight"), before[kOuter + 4]));
}

TEST(SpectralControl, ReportsWhatWasAndWhatIs) {
  const ParameterSet parameters(parameters_of_every_part(), 1, at::kCPU);
  const double before = largest_singular_value(detached(parameters, "mlp.0.up.weight"));
  SpectralControl control(parameters, Optimizer(parameters, {}), spectral(1), 5);
  const auto numbers = control.after_update(1, true);
  EXPECT_NEAR(numbers.at("spectral/before/mlp.0.up.weight"), before, 1e-12);
  EXPECT_NEAR(numbers.at("spectral/after/mlp.0.up.weight"),
              largest_singular_value(detached(parameters, "mlp.0.up.weight")), 1e-12);
  EXPECT_EQ(numbers.count("spectral/after/own.stack/2"), 1U);
  EXPECT_EQ(numbers.size(), 2 * 8 + 3U);
  EXPECT_EQ(numbers.at("spectral/clipped"), 8);
  EXPECT_EQ(numbers.at("spectral/left_alone"), 0);
  EXPECT_NEAR(numbers.at("spectral/largest"), 1, 2e-3);
}

TEST(SpectralControl, LeavesZerosAndWhatIsNotFinite) {
  for (const SpectralMethod method :
       {SpectralMethod::kSvd, SpectralMethod::kPolarExpress, SpectralMethod::kReferenceNs5}) {
    const ParameterSet parameters(parameters_of_every_part(), 1, at::kCPU);
    detached(parameters, "mlp.0.up.weight").zero_();
    const Tensor bad = detached(parameters, "gate.0.weight");
    bad.select(0, 1).fill_(std::numeric_limits<double>::quiet_NaN());
    const Tensor sound = bad.select(0, 0).clone();
    SpectralControl control(parameters, Optimizer(parameters, {}), spectral(1, method), 5);
    const auto numbers = control.after_update(1, true);
    EXPECT_TRUE(same_bits(bad.select(0, 0), sound));
    EXPECT_EQ(detached(parameters, "mlp.0.up.weight").abs().sum().item<double>(), 0);
    EXPECT_EQ(control.counts().zero, 1);
    EXPECT_EQ(control.counts().not_finite, 1);
    EXPECT_EQ(control.counts().clipped, 6);
    EXPECT_EQ(numbers.at("spectral/left_alone"), 2);
    EXPECT_EQ(numbers.count("spectral/after/gate.0.weight"), 0U);
  }
}

TEST(SpectralControl, TakesQueriesKeysAndValuesByThemselves) {
  for (const bool split : {false, true}) {
    const ParameterSet parameters(parameters_of_every_part(), 1, at::kCPU);
    const Tensor qkv = detached(parameters, "attention.0.qkv.weight");
    qkv.narrow(0, 4, 4).mul_(0.01);
    const Tensor keys = qkv.narrow(0, 4, 4).clone();
    SpectralConfig config = spectral(1);
    config.split_qkv = split;
    SpectralControl control(parameters, Optimizer(parameters, {}), config, 5);
    const auto numbers = control.after_update(1, true);
    EXPECT_EQ(same_bits(qkv.narrow(0, 4, 4), keys), split);
    EXPECT_EQ(numbers.count("spectral/after/attention.0.qkv.weight"), split ? 0U : 1U);
    if (!split) {
      EXPECT_LE(largest_singular_value(qkv), 1.002);
      continue;
    }
    EXPECT_GT(largest_singular_value(qkv), 1.002) << "together they are more than one";
    int64_t row = 0;
    for (const char* map : {"q", "k", "v"}) {
      EXPECT_NEAR(numbers.at(std::string("spectral/after/attention.0.") + map + ".weight"),
                  largest_singular_value(qkv.narrow(0, row, 4)), 1e-12);
      EXPECT_LE(largest_singular_value(qkv.narrow(0, row, 4)), 1.002);
      row += 4;
    }
  }
}

}  // namespace
}  // namespace fathom::testing
