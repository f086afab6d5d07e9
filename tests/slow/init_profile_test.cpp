// How large the carry of a shared block is before any training, by its wiring: 12 layers of 768
// channels on 13 random tokens. A minute on two cores.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "e2e/program.h"

namespace fathom::testing {
namespace {

struct InitProfile {
  double last = 0;               // the carry's deviation over channels after the last layer
  double all_layers = 0, s = 0;  // sum of the losses of all layers, and the last one's
};

InitProfile init_profile(const std::string& wiring, const std::vector<std::string>& more = {}) {
  const Workplace place;
  std::vector<std::string> words = {"sizes",
                                    "gpt2",
                                    "--untrained",
                                    "--wiring=" + wiring,
                                    "--share=one",
                                    "--norm_affine=false",
                                    "--norm_ties=last",
                                    "--bias=true",
                                    "--dropout=0",
                                    "--activation=gelu_tanh",
                                    "--n_layer=12",
                                    "--n_head=12",
                                    "--n_embd=768",
                                    "--block_size=1024",
                                    "--vocab_size=50304",
                                    "--tokens=13",
                                    "--gradients=false",
                                    "--json"};
  words.insert(words.end(), more.begin(), more.end());
  const Outcome o = place.run(words);
  EXPECT_EQ(o.exit_code, 0) << wiring << ": " << o.err;
  InitProfile profile;
  if (o.exit_code != 0) return profile;
  const auto json = nlohmann::json::parse(o.out);
  for (const auto& step : json["steps"]) profile.all_layers += step["cross_entropy"].get<double>();
  profile.s = json["loss"];
  profile.last = json["steps"].back()["after"]["sd"];
  std::printf("%s: last carry %.4f, all layers' loss %.2f, last layer's %.3f\n", wiring.c_str(),
              profile.last, profile.all_layers, profile.s);
  return profile;
}

TEST(InitProfiles, AreTheNotebooks) {
  const InitProfile parallel = init_profile("r = r + A(n) + M(n)");
  EXPECT_NEAR(parallel.last, 1.15, 0.15);
  EXPECT_GE(parallel.all_layers, 129.8);
  EXPECT_LE(parallel.all_layers, 132.3);
  EXPECT_GE(parallel.s, 10.8);
  EXPECT_LE(parallel.s, 11.6);
  EXPECT_NEAR(init_profile("r = r + A(n) * M(n)").last, 0.042, 0.01);
  EXPECT_LT(init_profile("u = r * A(n); r = u + M(N(u))").last, 0.01);
  const double summed =
      init_profile("r = r + A(n) * M(n)", {"--attn_value=sum", "--attn_projection=false"}).last;
  EXPECT_GE(summed, 10);
  EXPECT_LE(summed, 25);
  const InitProfile escaped = init_profile("u = r + A(n); r = n + M(N(u))");
  EXPECT_GE(escaped.all_layers, 135);
  EXPECT_LE(escaped.all_layers, 136);
}

}  // namespace
}  // namespace fathom::testing
