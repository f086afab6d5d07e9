#include "fathom/study/loop_exits.h"

#include <ATen/ops/log_softmax.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "fathom/base/error.h"
#include "fathom/model/walk/rows.h"
#include "fathom/model/walk/walk_cache.h"
#include "fathom/ops/kept_weights.h"
#include "fathom/ops/tensor_pool.h"

namespace fathom {
namespace {

// What was computed of some tokens.
struct Work {
  double nats = 0, targets = 0, tokens = 0, computed = 0, dense = 0;
  double seconds = 0, timed = 0;
};

// What one token leaves for the next one's work.
struct Leftovers {
  KeptWeights weights{KeptWeights::kNoLimit};
  TensorPool tensors;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void score(const DepthModel& model, const Policy& policy, const std::vector<int64_t>& tokens,
           const RandomField& random, int64_t context, Leftovers& kept, Work& work) {
  const auto N = static_cast<int64_t>(tokens.size()) - 1;
  const at::Device device = model.parameters().all().front().tensor.device();
  WalkCache cache(1, N);
  Asked asked;
  asked.cache = &cache;
  asked.policy = &policy;
  asked.random = random;
  for (int64_t t = 0; t < N; ++t) {
    const auto start = std::chrono::steady_clock::now();
    const KeptWeights::Use weights(kept.weights);
    const TensorPool::Use tensors(kept.tensors);
    const NextToken next =
        model.next_token(Rows({{tokens[static_cast<size_t>(t)]}}, {t}, device), asked);
    if (t + 1 >= context) {
      const Tensor ln_p_V = at::log_softmax(next.scores_NV[0].to(at::kDouble), -1);
      work.nats -= ln_p_V[tokens[static_cast<size_t>(t) + 1]].item<double>();
      work.targets += 1;
    }
    if (t > 0) {
      work.seconds += seconds_since(start);
      work.timed += 1;
    }
    work.tokens += 1;
    work.computed += static_cast<double>(next.computed);
    work.dense += static_cast<double>(next.dense);
  }
}

}  // namespace

LoopExit score_token_by_token(const DepthModel& model, const Policy& policy,
                              const std::vector<std::vector<int64_t>>& texts, int64_t seeds,
                              int64_t context) {
  const c10::InferenceMode no_graph;
  Leftovers kept;
  LoopExit out;
  Work all;
  for (int64_t seed = 0; seed < seeds; ++seed) {
    Work work;
    int64_t number = 0;
    for (const std::vector<int64_t>& tokens : texts) {
      if (static_cast<int64_t>(tokens.size()) <= context)
        fail(fmt::format("a text of {} tokens has nothing to predict", tokens.size()),
             "take a longer one");
      score(model, policy, tokens, RandomField(static_cast<uint64_t>(seed), 0, number++), context,
            kept, work);
    }
    out.loss.push_back(work.nats / work.targets);
    all.tokens += work.tokens;
    all.computed += work.computed;
    all.dense += work.dense;
    all.seconds += work.seconds;
    all.timed += work.timed;
  }
  // Blocks that are in a loop, and those that are in none.
  const DepthProgram program = unroll(model.walk().plan(), policy);
  double plain = 0, looped = 0;
  for (const StepSpec& step : program.steps) {
    const auto first = [](const LoopPlace& p) { return p.iteration == 0; };
    if (step.path.empty())
      ++plain;
    else if (std::all_of(step.path.begin(), step.path.end(), first))
      ++looped;
  }
  out.blocks = all.computed / all.dense;
  out.iterations = looped > 0 ? (all.computed / all.tokens - plain) / looped : 1;
  out.milliseconds = all.timed > 0 ? 1e3 * all.seconds / all.timed : 0;
  return out;
}

}  // namespace fathom
