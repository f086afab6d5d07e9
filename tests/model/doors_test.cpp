// What enters the stream at doors, the stem's among them.
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include "model/walked.h"

namespace fathom::testing {
namespace {

using namespace walked;

Walked with_stem(const std::vector<Injection>& stem, const std::vector<Injection>& door = {}) {
  LayerSpec layer = bare_layer();
  layer.door = door;
  DepthPlan plan = plan_with({{{"r", wire::name("n")}}}, layer);
  plan.stem.door = stem;
  return Walked(plan);
}

Injection of(Injection::Kind kind, double amount, Injection::Meeting meeting = Injection::kAdd) {
  Injection i{kind, 0};
  i.amount = amount;
  i.meeting = meeting;
  return i;
}

TEST(Stem, IsAListOfInjections) {
  const Injection tokens{Injection::kTokenTable, 0}, positions{Injection::kPositionTable, 0};
  const auto token_rows = [](const Walked& w) {
    return w.at("token_table.0.weight")
        .index_select(0, w.batch.tokens_BT.flatten())
        .view({B, T, C});
  };
  const auto rows_of = [](const Walked& w) { return w.at("position_table.weight"); };
  const auto expect_end = [](const Walked& w, const Tensor& expected) {
    EXPECT_LT(max_difference(w.end(), expected.expand({B, T, C})), 1e-14);
  };
  const Walked usual = with_stem({tokens, positions});
  expect_end(usual, token_rows(usual) + rows_of(usual));
  const Walked none = with_stem({tokens});
  expect_end(none, token_rows(none));
  const Walked turned = with_stem({positions, tokens});
  expect_end(turned, token_rows(turned) + rows_of(turned));
  const Walked times = with_stem({tokens, of(Injection::kPositionTable, 1, Injection::kMultiply)});
  expect_end(times, token_rows(times) * rows_of(times));
  const Walked by_tokens =
      with_stem({positions, of(Injection::kTokenTable, 1, Injection::kMultiply)});
  expect_end(by_tokens, token_rows(by_tokens) * rows_of(by_tokens));
  const Walked again = with_stem({tokens, positions}, {positions, of(Injection::kScale, 0.5)});
  expect_end(again, 0.5 * (token_rows(again) + 2 * rows_of(again)));
  const Walked scaled = with_stem({tokens, of(Injection::kScale, 3), positions});
  expect_end(scaled, 3 * token_rows(scaled) + rows_of(scaled));
}

TEST(Stem, MayBeNormedAndNoisy) {
  Injection norm{Injection::kNorm};
  norm.norm.kind = NormSpec::kRms;
  norm.norm.weight = false;
  const Injection tokens{Injection::kTokenTable, 0};
  const Walked normed = with_stem({tokens, norm});
  EXPECT_LT(max_difference(normed.end().square().mean(-1),
                           at::ones({B, T}, at::TensorOptions(at::kDouble))),
            1e-3);
  const Walked noisy = with_stem({tokens, of(Injection::kNoise, 0.5)}), quiet = with_stem({tokens});
  const Tensor noise = noisy.end() - quiet.end();
  EXPECT_NEAR(noise.square().mean().sqrt().item<double>(), 0.5, 0.15);
  EXPECT_TRUE(same_bits(noisy.end(), with_stem({tokens, of(Injection::kNoise, 0.5)}).end()));
  // Each injection draws its own.
  const Walked twice = with_stem({tokens, of(Injection::kNoise, 0.5), of(Injection::kNoise, 0.5)});
  EXPECT_GT(max_difference(twice.end() - quiet.end(), 2 * noise), 0.1);
}

TEST(Doors, AGateIsTheNextTables) {
  LayerSpec layer = with_readout(block(0, C), 0);
  layer.width_in = 8;
  layer.door = {{Injection::kGate, 1},      {Injection::kWiden},        {Injection::kTokenTable, 1},
                {Injection::kNorm},         of(Injection::kNoise, 0.3), of(Injection::kScale, 2),
                {Injection::kTokenTable, 2}};
  DepthPlan plan = plan_of({{layer}}, 8);
  const Walked w(plan);
  const StepSpec step = unroll(plan).steps[0];
  const Carry& start = w.trace.door(0);
  const RandomField random(1, 2, 3);
  const Rows rows(w.batch);
  Carry carry = start;
  Tensor gate_R1;
  DoorSite site = {step.layer.width, &step, 0};
  for (const Injection& injection : step.layer.door) {
    carry = inject(injection, site, w.walk.params(), rows, carry, gate_R1, random, {});
    EXPECT_EQ(gate_R1.defined(), site.number < 2) << "until a table has used it";
    ++site.number;
  }
}

}  // namespace
}  // namespace fathom::testing
