// `fathom generate`
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <map>

#include "fathom/base/error.h"
#include "fathom/base/stop_signal.h"
#include "fathom/base/visible.h"
#include "fathom/cli/engine/engine.h"
#include "fathom/cli/generate/request.h"
#include "fathom/decode/generate.h"
#include "fathom/model/device.h"
#include "fathom/track/console.h"
#include "fathom/track/terminal.h"
#include "fathom/train/checkpoint.h"

namespace fathom {

namespace {

// Text as it grows: of the first one each token at once, of the others when all is done. To a
// terminal nothing that it would obey, and whole characters; elsewhere the bytes as they are.
class Pages {
 public:
  Pages(const Tokenizer& tokenizer, std::string start, int64_t count)
      : tokenizer_(tokenizer),
        terminal_(is_terminal(stdout)),
        texts_(static_cast<size_t>(count), start) {}

  void add(size_t text, int64_t token) {
    const auto id = static_cast<uint32_t>(token);
    const std::string piece = tokenizer_.decode({&id, 1});
    texts_[text] += piece;
    if (text != 0) return;
    // The start is a part of the first piece.
    write(terminal_ ? first_.add(begun_ ? piece : texts_[0]) : begun_ ? piece : texts_[0]);
    begun_ = true;
  }

  // Whatever there is by now.
  void finish() {
    write(!begun_ ? shown(texts_[0]) : terminal_ ? first_.finish() : "");
    write("\n");
    for (size_t i = 1; i < texts_.size(); ++i)
      write(fmt::format("\n---------------\n{}\n", shown(texts_[i])));
  }

 private:
  std::string shown(const std::string& text) const { return terminal_ ? visible(text) : text; }

  static void write(const std::string& text) {
    errno = 0;
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
    if (std::fflush(stdout) != 0 || !written) fail_output(errno);
  }

  const Tokenizer& tokenizer_;
  const bool terminal_;
  std::vector<std::string> texts_;
  VisibleText first_;
  bool begun_ = false;
};

// Thrown out of the midst of generating; never leaves this file.
struct Stopped {};

// Who answered, and what that saved; beside the text, which may go into a file.
void print_answers(const std::map<int64_t, int64_t>& answers, const GenerateReport& report) {
  double total = 0;
  for (const auto& [layer, count] : answers) total += static_cast<double>(count);
  std::string line = "answered by";
  for (const auto& [layer, count] : answers)
    line += fmt::format(" | layer {}: {:.1f} %", layer, 100.0 * static_cast<double>(count) / total);
  const double share = static_cast<double>(report.computed) / static_cast<double>(report.dense);
  say(stderr, fmt::format("{}; {:.1f} % of all blocks were computed\n", line, 100 * share));
}

int generate_text(const GenerateRequest& request) {
  for (const std::string& notice : request.notices) say_note(notice);
  set_threads(request.model.threads);
  const LoadedModel loaded = load_chosen(request.model, choose_device(request.model.device));
  const NextTokenModel& model = next_token_model(loaded, request.model, "generate");
  if (loaded.tokenizer == nullptr)
    fail("the model's corpus has no tokenizer, so its tokens have no text",
         "prepare the corpus from text with `fathom prepare`");
  const ModelConfig& config = loaded.state.config.model;
  GenerateOptions options;
  options.sampler = request.sampler;
  options.max_new_tokens = request.max_new_tokens;
  options.window = request.window;
  if (options.window.capacity == 0) options.window.capacity = config.backbone.block_size;
  validate(options.window, config.backbone.block_size);
  options.vocab_size = loaded.tokenizer->vocab_size();
  options.seed = static_cast<uint64_t>(request.seed);
  options.exit = request.exit;
  const std::vector<uint32_t> ids = loaded.tokenizer->encode(request.start);
  const std::vector<int64_t> start(ids.begin(), ids.end());
  const std::vector<std::vector<int64_t>> texts(static_cast<size_t>(request.num_samples), start);

  Pages pages(*loaded.tokenizer, request.start, request.num_samples);
  std::map<int64_t, int64_t> answers;  // by layer
  GenerateReport report;
  const StopSignal signal;
  try {
    report = generate(model, texts, options, [&](size_t text, int64_t token, int64_t layer) {
      ++answers[layer];
      pages.add(text, token);
      if (StopSignal::received() != 0) throw Stopped();
    });
  } catch (const Stopped&) {
    pages.finish();
    return 128 + StopSignal::received();
  }
  pages.finish();
  if (config.halting.rule != HaltRule::kNone && report.dense > 0) print_answers(answers, report);
  return 0;
}

}  // namespace

int run_generate_in_engine(const Arguments& arguments) {
  const auto request = parse_generate(arguments);
  return request ? generate_text(*request) : 0;
}

}  // namespace fathom
