#include "fathom/decode/generate.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/random.h"

namespace fathom {

void generate(const LanguageModel& model, std::vector<int64_t> tokens,
              const GenerateOptions& options,
              const std::function<void(int64_t token, int64_t layer)>& emit) {
  const at::NoGradGuard no_grad;
  const at::Device device = model.parameters().all().front().tensor.device();
  const RandomStream stream(options.seed, fmt::format("sample/{}", options.sample));
  for (int64_t i = 0; i < options.max_new_tokens; ++i) {
    const int64_t T = std::min<int64_t>(static_cast<int64_t>(tokens.size()), options.block_size);
    const Tensor window = at::empty({1, T}, at::TensorOptions(at::kLong));
    std::copy(tokens.end() - T, tokens.end(), window.data_ptr<int64_t>());
    const NextToken next = model.next_token(window.to(device), options.exit);
    const Tensor scores = next.scores_BV.to(at::kCPU, at::kFloat).contiguous();
    if (options.vocab_size > scores.numel())
      fail(fmt::format("vocab_size = {} is more than the model's {}", options.vocab_size,
                       scores.numel()));
    const int64_t token =
        sample_token({scores.data_ptr<float>(), static_cast<size_t>(options.vocab_size)},
                     options.sampler, stream.uniform(static_cast<uint64_t>(i)));
    tokens.push_back(token);
    emit(token, next.layer_B.item<int64_t>());
  }
}

}  // namespace fathom
