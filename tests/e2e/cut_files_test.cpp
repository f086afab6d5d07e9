// Files that another process cuts short while the program has them mapped: one sentence, nothing
// left behind, no signal.
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "e2e/small_run.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace fs = std::filesystem;

struct Moment {
  int nth = 1;    // mapping of the file
  int calls = 0;  // to the system, that are made before the cut
};

// Lets the child, which waits to be traced, go from one of its system's calls to the next, and cuts
// the file when it has been mapped; false: it never was.
bool cut_when_mapped(pid_t child, const fs::path& file, uintmax_t size, Moment moment) {
  const fs::path wanted = fs::canonical(file);
  const std::string open_files = "/proc/" + std::to_string(child) + "/fd/";
  std::error_code none;
  bool mapping = false;  // the file was being mapped when the child last stopped
  for (int status = 0; waitpid(child, &status, 0) == child && WIFSTOPPED(status);) {
    const int signal = WSTOPSIG(status), of_a_call = SIGTRAP | 0x80;
    if (signal == SIGTRAP)  // the program begins
      ptrace(PTRACE_SETOPTIONS, child, nullptr, static_cast<long>(PTRACE_O_TRACESYSGOOD));
    if (signal == of_a_call) {
      if (mapping) --moment.nth;
      // Each call stops twice.
      if (moment.nth == 0 && (mapping ? moment.calls *= 2 : --moment.calls) == 0) {
        fs::resize_file(file, size);
        ptrace(PTRACE_DETACH, child, nullptr, nullptr);
        return true;
      }
      __ptrace_syscall_info info = {};
      ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info);
      mapping = info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_mmap &&
                fs::read_symlink(open_files + std::to_string(static_cast<int>(info.entry.args[4])),
                                 none) == wanted;
    }
    const bool is_its_own = signal != SIGTRAP && signal != of_a_call;
    ptrace(PTRACE_SYSCALL, child, nullptr, is_its_own ? static_cast<long>(signal) : 0L);
  }
  return false;
}

// Some places forbid it.
bool may_trace() {
  const pid_t child = fork();
  if (child == 0) _exit(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : 1);
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class CutFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!may_trace()) GTEST_SKIP() << "no process may be traced here";
  }
  static Outcome cut(const Workplace& place, const Words& words, const fs::path& file,
                     uintmax_t size, Moment moment = {}) {
    const pid_t child = place.start(words, [] { ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); });
    EXPECT_TRUE(cut_when_mapped(child, file, size, moment));
    return place.wait_for(child);
  }
  static void expect_one_sentence(const Outcome& o, const std::string& name) {
    EXPECT_EQ(o.exit_code, 1) << o.out;
    EXPECT_THAT(o.err, HasSubstr(name + " was cut short while it was being read"));
    EXPECT_EQ(o.err.find("fathom: "), o.err.rfind("fathom: ")) << o.err;
  }
  Words entries(const std::string& folder) const {
    Words names;
    if (fs::exists(place_.path(folder)))
      for (const auto& entry : fs::directory_iterator(place_.path(folder)))
        names.push_back(entry.path().filename());
    return names;
  }

  const Workplace place_;
};

TEST_F(CutFiles, ATextThatIsCutWhileItIsPrepared) {
  std::string text, lines;
  while (text.size() < 4'000'000) text += small_text();
  while (lines.size() < 4'000'000) lines += "{\"text\": \"the rain falls, and the river rises\"}\n";
  struct Cut {
    std::string file, tokenizer;
    uintmax_t size;
    const std::string& text;
  };
  for (const Cut& c : {Cut{"big.txt", "char", 0, text},
                       {"big.txt", "byte", 1'000'001, text},
                       {"big.txt", "bpe", 0, text},
                       {"big.jsonl", "byte", lines.size() / 2, lines}}) {
    SCOPED_TRACE(c.file + " " + c.tokenizer);
    place_.write(c.file, c.text);
    const Outcome o =
        cut(place_, {"prepare", c.file, "--tokenizer=" + c.tokenizer, "--vocab_size=300"},
            place_.path(c.file), c.size);
    expect_one_sentence(o, c.file);
    EXPECT_THAT(entries("data"), IsEmpty());
  }
}

TEST_F(CutFiles, WeightsThatAreCutWhileTheyAreRead) {
  const SmallRuns place;
  ASSERT_EQ(place
                .train({"--run_name=wide", "--max_iters=1", "--eval_iters=1", "--batch_size=1",
                        "--vocab_size=2000", "--n_embd=256"})
                .exit_code,
            0);
  const fs::path last = place.path("runs/wide/checkpoints/last");
  const std::string weights = slurp(last / "model.safetensors");
  ASSERT_GT(weights.size(), 3'000'000U);
  // Mapped for what it has in it, and, but by training, again for its numbers; then its size is
  // looked at, once.
  const std::pair<Moment, Words> verbs[] = {
      {{2, 1}, {"eval", "wide", "--max_batches=1", "--checkpoint=last"}},
      {{1, 0}, {"generate", "wide", "--max_new_tokens=1", "--checkpoint=last"}},
      {{1, 1},
       SmallRuns::train_words({"--run_name=next", "--vocab_size=2000", "--n_embd=256",
                               "--max_iters=1", "--initial_model=runs/wide/checkpoints/last"})}};
  for (const auto& [moment, words] : verbs) {
    SCOPED_TRACE(::testing::PrintToString(words));
    place.write("runs/wide/checkpoints/last/model.safetensors", weights);
    const Outcome o = cut(place, words, last / "model.safetensors", 100'001, moment);
    expect_one_sentence(o, "last/model.safetensors");
    EXPECT_FALSE(fs::exists(place.path("runs/next")));
  }
}

}  // namespace
}  // namespace fathom::testing
