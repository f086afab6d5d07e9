// nanoGPT's configuration files: lines of key = literal in a .py file, none of which is run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "config/config_testing.h"
#include "config/sample_config.h"
#include "fathom/config/config_file.h"
#include "io/temp_folder.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using testing::refusal_of;
using testing::Sample;
using ::testing::StartsWith;

void read_file(Sample& s, const std::string& text, const std::string& name) {
  read_config_text(text, name, s.fields);
}

// The message that a file with this text ends with.
std::string refused_file(const std::string& text, const std::string& name) {
  Sample s;
  const Error e = refusal_of([&] { read_file(s, text, name); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage) << text;
  return e.what();
}

const char* const kShakespeare = R"(# train a miniature character-level shakespeare model
out_dir = 'out-shakespeare-char'
eval_interval = 250 # keep frequent because we'll overfit
wandb_log = False # override via command line if you like

learning_rate = 1e-3
beta2 = 0.99 # make a bit bigger because number of tokens per iter is small
# device = 'cpu'  # run on cpu only
)";

TEST(NanoGptFile, LinesOfKeyAndLiteral) {
  std::string out_dir;
  int64_t eval_interval = 0;
  bool wandb_log = true;
  double learning_rate = 0, beta2 = 0;
  FieldList list;
  list.section("all");
  list.add("out_dir", out_dir, "");
  list.add("eval_interval", eval_interval, "");
  list.add("wandb_log", wandb_log, "");
  list.add("learning_rate", learning_rate, "");
  list.add("beta2", beta2, "");
  read_config_text(kShakespeare, "config/train_shakespeare_char.py", list);
  EXPECT_EQ(out_dir, "out-shakespeare-char");
  EXPECT_EQ(eval_interval, 250);
  EXPECT_FALSE(wandb_log);
  EXPECT_EQ(learning_rate, 1e-3);
  EXPECT_EQ(beta2, 0.99);
  EXPECT_EQ(list.find("learning_rate")->origin(), "config/train_shakespeare_char.py:6");
}

TEST(NanoGptFile, QuotesTuplesNoneAndWindowsLines) {
  Sample s;
  s.config.maybe_count = 1;
  read_file(s, "text='a # b'  # c\r\nmaybe_count = None\r\nints = (1, 2,)\r\nflag=True", "a.py");
  EXPECT_EQ(s.config.text, "a # b");
  EXPECT_FALSE(s.config.maybe_count);
  EXPECT_THAT(s.config.ints, ElementsAre(1, 2));
  EXPECT_TRUE(s.config.flag);
  read_file(s, R"(text = 'it\'s # here' # and not here)", "a.py");
  EXPECT_EQ(s.config.text, "it's # here");
  read_file(s, R"(text = "say \"# x\"")", "a.py");
  EXPECT_EQ(s.config.text, "say \"# x\"");
  read_file(s, R"(text = 'back\\' # slash)", "a.py");
  EXPECT_EQ(s.config.text, "back\\");
}

// nanoGPT's config/train_gpt2.py: `gradient_accumulation_steps = 5 * 8`.
TEST(NanoGptFile, ProductsOfNumbers) {
  Sample s;
  read_file(s, "count = 5 * 8  # 40\nrate = 2 * 1e-1 * 0.5\ntext = '5 * 8'\n", "a.py");
  EXPECT_EQ(s.config.count, 40);
  EXPECT_DOUBLE_EQ(s.config.rate, 0.1);
  EXPECT_EQ(s.config.text, "5 * 8");
  EXPECT_ANY_THROW(read_file(s, "count = 5000000000 * 5000000000\n", "a.py"));
  EXPECT_ANY_THROW(read_file(s, "count = 5 * 0.5\n", "a.py"));
}

TEST(NanoGptFile, CodeIsRefusedWithItsLineAndNeverRun) {
  const testing::TempFolder folder;
  const std::string canary = folder / "canary";
  for (const std::string& line : {
           std::string("import os"),
           "open('" + canary + "', 'w')",
           "text = open('" + canary + "', 'w')",
           "text = __import__('os').system('touch " + canary + "')",
           std::string("count = 5 * max_iters"),
           std::string("count = 2 ** 3"),
           std::string("count = 5 *"),
           std::string("count = 5 + 1"),
           std::string("count = max_iters"),
           std::string("count == 3"),
           std::string("count: int = 3"),
           std::string("count = flag = 3"),
           std::string("if True: count = 3"),
           std::string("count = 3; flag = True"),
           std::string("count, rate = 3, 0.5"),
           std::string("count += 1"),
           std::string("text = f'{1}'"),
           std::string("text = 'a' 'b'"),
           std::string("text = 'open"),
           std::string("config = {'a': 1}"),
           std::string("text = [i for i in (1, 2)]"),
           std::string("'''docstring'''"),
           std::string("3 = count"),
           std::string("= 3"),
           std::string("count ="),
           std::string("unknown_key = 3"),
       }) {
    EXPECT_THAT(refused_file("\n# comment\n" + line + "\n", "dir/x.py"), StartsWith("dir/x.py:3: "))
        << line;
    EXPECT_FALSE(std::filesystem::exists(canary)) << line;
  }
}

TEST(NanoGptFile, AShellLineOfTheSameTextInTomlIsNotTaken) {
  Sample s;
  EXPECT_ANY_THROW(read_file(s, "flag = True\n", "a.toml"));
  EXPECT_NO_THROW(read_file(s, "flag = True\n", "a.py"));
}

TEST(NanoGptFile, ALongProductIsNoTrap) {
  Sample s;
  std::string product = "3";
  for (int i = 0; i < 200'000; ++i) product += " * 1";
  read_file(s, "count = " + product, "a.py");
  EXPECT_EQ(s.config.count, 3);
}

}  // namespace
}  // namespace fathom
