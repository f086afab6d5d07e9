#include "fathom/study/answer_problems.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/data/shift.h"
#include "fathom/decode/generate.h"
#include "fathom/train/batches.h"

namespace fathom {
namespace {

std::vector<int64_t> prompt_of(const Tokenizer& tokenizer, const WordProblem& problem,
                               const std::string& end, const std::string& name) {
  std::vector<uint32_t> ids;
  try {
    ids = tokenizer.encode(problem.question + end);
  } catch (const Error& error) {
    fail(fmt::format("{}: {}", name, error.what()),
         "the model's tokenizer has no tokens for it: take one that was trained on bytes or byte "
         "pairs");
  }
  return {ids.begin(), ids.end()};
}

std::string name_of(const WordProblem& problem, size_t i) {
  return problem.place.empty() ? fmt::format("problem {}", i + 1) : problem.place;
}

}  // namespace

std::vector<WordProblem> readable_problems(const Tokenizer& tokenizer,
                                           const std::vector<WordProblem>& problems,
                                           const std::string& prompt_end, PassedOver& unreadable) {
  std::vector<WordProblem> readable;
  std::optional<Error> first;
  for (size_t i = 0; i < problems.size(); ++i) try {
      prompt_of(tokenizer, problems[i], prompt_end, name_of(problems[i], i));
      readable.push_back(problems[i]);
    } catch (const Error& error) {
      ++unreadable.lines;
      if (!first) first = error;
    }
  if (!first) return readable;
  if (readable.empty()) throw Error(*first);
  unreadable.first = first->what();
  return readable;
}

std::vector<ProblemAnswer> answer_problems(const NextTokenModel& model, const Tokenizer& tokenizer,
                                           const std::vector<WordProblem>& problems, int64_t seen,
                                           const AnswerOptions& options) {
  const Autocast autocast(options.dtype, options.device);
  GenerateOptions how;
  how.sampler.greedy = true;
  how.max_new_tokens = options.answer_tokens;
  how.window.capacity = seen;
  how.window.overflow = Overflow::kRecompute;
  how.vocab_size = tokenizer.vocab_size();
  if (options.shifted_vocab) how.shift_id = shift_id(*options.shifted_vocab, 1);
  const int64_t own = seen - (options.shifted_vocab ? 1 : 0);
  std::vector<ProblemAnswer> answers;
  for (size_t begin = 0; begin < problems.size();) {
    const size_t end = std::min(
        problems.size(), begin + static_cast<size_t>(std::max<int64_t>(options.batch_size, 1)));
    std::vector<std::vector<int64_t>> texts;
    for (size_t i = begin; i < end; ++i) {
      const WordProblem& problem = problems[i];
      texts.push_back(prompt_of(tokenizer, problem, options.prompt_end, name_of(problem, i)));
      ProblemAnswer answer;
      answer.truth = problem.answer;
      answer.asked = numbers_in(problem.question);
      // The last token of an answer is only said.
      answer.is_cut = static_cast<int64_t>(texts.back().size()) + options.answer_tokens - 1 > own;
      answers.push_back(std::move(answer));
    }
    std::vector<std::vector<uint32_t>> said(texts.size());
    generate(model, texts, how, [&](size_t text, int64_t token, int64_t /*layer*/) {
      said[text].push_back(static_cast<uint32_t>(token));
    });
    for (size_t i = 0; i < said.size(); ++i) {
      ProblemAnswer& answer = answers[begin + i];
      answer.text = tokenizer.decode({said[i].data(), said[i].size()});
      answer.given = first_number(answer.text);
    }
    begin = end;
    if (options.progress) options.progress(end);
  }
  return answers;
}

}  // namespace fathom
