#include "fathom/decode/generate.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/random.h"

namespace fathom {

GenerateReport generate(const NextTokenModel& model, std::vector<std::vector<int64_t>> texts,
                        const GenerateOptions& options, const EmitToken& emit) {
  std::vector<RandomStream> streams;
  std::vector<size_t> starts;  // lengths of the given texts
  for (size_t b = 0; b < texts.size(); ++b) {
    streams.emplace_back(options.seed, fmt::format("sample/{}", options.first_sample + b));
    starts.push_back(texts[b].size());
  }
  const RandomField random(options.seed, 0, static_cast<int64_t>(options.first_sample));
  Decoder decoder(model, std::move(texts), options.window, random);
  GenerateReport report;
  const auto V = static_cast<size_t>(options.vocab_size);
  for (int64_t i = 0; i < options.max_new_tokens; ++i) {
    bool open = false;
    for (size_t b = 0; b < starts.size(); ++b) open = open || !decoder.is_full(b);
    if (!open) break;
    const NextToken next = decoder.next(options.exit);
    report.computed += next.computed;
    report.dense += next.dense;
    const Tensor scores_BV = next.scores_NV.to(at::kCPU, at::kFloat).contiguous();
    if (options.vocab_size > scores_BV.size(1))
      fail(fmt::format("vocab_size = {} is more than the model's {}", options.vocab_size,
                       scores_BV.size(1)));
    for (size_t b = 0; b < starts.size(); ++b) {
      if (decoder.is_full(b)) continue;
      const float* row = scores_BV.data_ptr<float>() + static_cast<int64_t>(b) * scores_BV.size(1);
      const std::vector<int64_t>& tokens = decoder.tokens(b);
      const int64_t token =
          sample_token({row, V}, {tokens.data() + starts[b], tokens.size() - starts[b]},
                       options.sampler, streams[b].uniform(static_cast<uint64_t>(i)));
      decoder.append(b, token);
      emit(b, token, next.layer_N[static_cast<int64_t>(b)].item<int64_t>());
    }
  }
  return report;
}

}  // namespace fathom
