// Every option of `fathom prepare` changes something.
#include <chrono>
#include <iterator>
#include <nlohmann/json.hpp>
#include <tuple>

#include "cli/effects_testing.h"
#include "data/loopback_server.h"
#include "fathom/data/corpus.h"
#include "fathom/data/row_file.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::LoopbackServer;
using ::testing::Not;
using testing::Outcome;
using testing::Words;
namespace fs = std::filesystem;

class PrepareEffects : public testing::EffectsTest {
 protected:
  // `prepare rain.txt --json` below another name, and the folder it makes.
  json prepared(const Words& more) const {
    fs::remove_all(place_.path("data/new"));
    Words words = {"prepare", "rain.txt", "--name=new", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return json::parse(o.out);
  }
  uintmax_t shard_bytes() const { return fs::file_size(place_.path("data/new/val.bin")); }

  void prepare_effects();
  void prepare_rows_effects();
};

void PrepareEffects::prepare_effects() {
  effects_["prepare name"] = [&] {
    prepared({});
    EXPECT_TRUE(fs::exists(place_.path("data/new/meta.json")));
  };
  effects_["prepare input"] = [&] {
    const Outcome o = run({"prepare", "shakespeare_char", "--input=rain.txt"});
    EXPECT_THAT(o.err, HasSubstr("the text from rain.txt"));
  };
  effects_["prepare tokenizer"] = [&] {
    EXPECT_EQ(prepared({"--tokenizer=char"})["vocab_size"], 25);
    EXPECT_EQ(prepared({"--tokenizer=byte"})["vocab_size"], 256);
  };
  effects_["prepare vocab_size"] = [&] {
    EXPECT_EQ(prepared({"--tokenizer=bpe", "--vocab_size=260"})["vocab_size"], 260);
    EXPECT_EQ(prepared({"--tokenizer=bpe", "--vocab_size=280"})["vocab_size"], 280);
  };
  effects_["prepare vocabulary"] = [&] {
    place_.write("few.tiktoken", "AA== 0\n");
    const Outcome o =
        run({"prepare", "rain.txt", "--tokenizer=gpt2", "--vocabulary=few.tiktoken", "--name=two"});
    EXPECT_EQ(o.exit_code, 1);
    EXPECT_THAT(o.err, HasSubstr("few.tiktoken: 1 of 256 single bytes"));
    EXPECT_EQ(run({"prepare", "rain.txt", "--vocabulary=few.tiktoken"}).exit_code, 2);
  };
  effects_["prepare specials"] = [&] {
    place_.write("marked.txt", testing::small_text() + "<|endoftext|>" + testing::small_text());
    const auto notes = [&](const char* option) {
      return run({"prepare", "marked.txt", "--tokenizer=bpe", "--vocab_size=260", "--force",
                  option})
          .out;
    };
    EXPECT_THAT(notes("--specials=tokens"), HasSubstr("<|endoftext|> stands in the text 1 time"));
    EXPECT_THAT(notes("--specials=text"), Not(HasSubstr("stands in the text")));
  };
  effects_["prepare shard_format"] = [&] {
    prepared({"--shard_format=llmc"});
    const uintmax_t with_header = shard_bytes();
    prepared({"--shard_format=nanogpt"});
    EXPECT_EQ(shard_bytes(), with_header - 1024);
  };
  effects_["prepare val_fraction"] = [&] {
    const auto val = [](const json& report) { return report["tokens"]["val"].get<int64_t>(); };
    EXPECT_GT(val(prepared({"--val_fraction=0.5"})), 4 * val(prepared({"--val_fraction=0.1"})));
  };
  effects_["prepare shard_tokens"] = [&] {
    const auto files = [&] {
      return std::distance(fs::directory_iterator(place_.path("data/new")), {});
    };
    prepared({});
    const auto one_a_split = files();
    prepared({"--shard_tokens=100"});
    EXPECT_GT(files(), one_a_split + 10);
  };
  effects_["prepare force"] = [&] {
    EXPECT_EQ(run({"prepare", "rain.txt", "--tokenizer=byte"}).exit_code, 1);
    EXPECT_EQ(run({"prepare", "rain.txt", "--tokenizer=byte", "--force"}).exit_code, 0);
    EXPECT_EQ(Corpus::open("rain").vocab_size(), 256);
  };
  effects_["prepare url"] = [&] {
    const LoopbackServer server(LoopbackServer::ok("not Shakespeare"));
    EXPECT_EQ(run({"prepare", "shakespeare_char", "--url=" + server.url()}).exit_code, 1);
    EXPECT_EQ(server.requests(), 1);
  };
  effects_["prepare timeout"] = [&] {
    const LoopbackServer server("HTTP/1.1 200 OK\r\nContent-Length: 1115394\r\n\r\nFirst",
                                /*stall=*/true);
    const auto start = std::chrono::steady_clock::now();
    const Outcome o = run({"prepare", "shakespeare_char", "--url=" + server.url(), "--timeout=1"});
    EXPECT_EQ(o.exit_code, 1);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    EXPECT_LT(taken.count(), 8) << "by itself it waits for 10 seconds";
  };
  effects_["prepare max_bytes"] = [&] {
    const LoopbackServer server(LoopbackServer::ok("{\"text\": \"a document\"}\n"));
    const Outcome o =
        run({"prepare", "fineweb", "--tokenizer=byte", "--url=" + server.url(), "--max_bytes=5"});
    EXPECT_EQ(o.exit_code, 1);
    EXPECT_THAT(o.err, HasSubstr("has 23 bytes, max_bytes is 5"));
  };
  effects_["prepare json"] = [&] {
    EXPECT_TRUE(json::accept(run({"prepare", "rain.txt", "--name=a", "--json"}).out));
    EXPECT_FALSE(json::accept(run({"prepare", "rain.txt", "--name=b"}).out));
  };
}

void PrepareEffects::prepare_rows_effects() {
  std::string lines;
  for (int i = 0; i < 20; ++i)
    lines += R"({"prompt": )" + std::to_string(i) +
             R"(, "truth": "yes", "q": "why", "a": "so", "text": "rain", "name": "R"})" + "\n";
  place_.write("rows.jsonl", lines);
  // The first row that is trained on, prepared with some options; none where it is a text.
  const auto first = [this](const Words& more) {
    fs::remove_all(place_.path("data/new"));
    Words words = {"prepare", "rows.jsonl", "--name=new"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    const Corpus corpus = Corpus::open("new");
    return corpus.has_rows() ? row_line(corpus.rows("train")->row(0)) : "none";
  };
  const std::string no_truth = "--truth_field=none";
  for (const auto& [key, options, part] :
       {std::tuple{"format", Words{"--format=text"}, "none"},
        {"prompt_field", Words{"--prompt_field=q"}, "\"why\""},
        {"truth_field", Words{"--truth_field=a"}, "\"so\""},
        {"rows", Words{no_truth, "--rows"}, "\"rain\""},
        {"text_field", Words{no_truth, "--rows", "--text_field=a"}, "\"so\""},
        {"title_field", Words{no_truth, "--rows", "--title_field=name"}, "\"R\""}})
    effects_["prepare " + std::string(key)] = [=, options = options, part = part] {
      EXPECT_THAT(first(options), HasSubstr(part));
    };
  effects_["prepare seed"] = [=] { EXPECT_NE(first({"--seed=1"}), first({"--seed=2"})); };
}

TEST_F(PrepareEffects, EachOptionChangesSomething) {
  prepare_effects();
  prepare_rows_effects();
  expect_all([](const std::string& verb) { return verb == "prepare"; });
}

}  // namespace
}  // namespace fathom
