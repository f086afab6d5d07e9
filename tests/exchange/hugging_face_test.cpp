// A GPT-2 in Hugging Face's layout becomes a checkpoint and comes out of one, bit for bit.
#include "fathom/exchange/hugging_face.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "exchange/golden_model.h"
#include "fathom/data/bpe.h"
#include "fathom/exchange/half.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/registry.h"

namespace fs = std::filesystem;

namespace fathom::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HuggingFaceTest : public ::testing::Test {
 protected:
  std::string copy(const std::string& name = "tiny") { return copy_of_golden_model(temp_ / name); }
  // A checkpoint of what is in `folder`.
  std::string imported(const std::string& folder, const std::string& name = "checkpoint") {
    const ImportedModel model = read_hugging_face(folder);
    CheckpointWriter writer(temp_ / name);
    write_imported(writer, imported_state(model, "gpt2"), model);
    writer.commit();
    return temp_ / name;
  }
  std::string refusal(const std::string& folder) {
    return caught([&] { imported(folder); }).what();
  }
  // The refusal of a copy whose config.json has this member.
  std::string refusal_of(const std::string& key, const json& value) {
    fs::remove_all(temp_ / "odd");
    const std::string folder = copy("odd");
    change_json(folder + "/config.json", [&](json& j) { j[key] = value; });
    return refusal(folder);
  }
  // A checkpoint of a run with these settings and weights that count up.
  std::string trained(const std::function<void(RunState&)>& change) {
    RunState state;
    state.config = preset_config("gpt2");
    BackboneConfig& b = state.config.model.backbone;
    b.n_layer = b.n_head = 2;
    b.n_embd = 8;
    b.block_size = 4;
    state.vocab_size = 256;
    state.tokenizer = std::make_shared<const json>(json{{"kind", "byte"}});
    change(state);
    CheckpointWriter writer(temp_ / "trained");
    std::vector<OwnedTensor> tensors;
    float next = 1;
    for (const ParameterSpec& spec : parameter_table(state.config.model, state.vocab_size)) {
      OwnedTensor t{spec.name, Dtype::F32, spec.shape, std::string(size_t(spec.count()) * 4, '\0')};
      for (int64_t i = 0; i < spec.count(); ++i, next += 1)
        std::memcpy(t.bytes.data() + 4 * i, &next, 4);
      tensors.push_back(std::move(t));
    }
    write_tensors(writer.path() + "/model.safetensors", tensors, /*metadata=*/{});
    spill(writer.path() + "/state.json", to_json(state).dump());
    writer.commit();
    return temp_ / "trained";
  }
  ExportReport exported(const std::string& checkpoint, const std::string& name = "out") {
    return export_hugging_face(checkpoint, temp_ / name, /*replace=*/false);
  }

  TempFolder temp_;
};

TEST_F(HuggingFaceTest, ImportHasTheFilesSettings) {
  const RunState state = load_state(imported(copy()));
  const BackboneConfig& b = state.config.model.backbone;
  EXPECT_EQ(b.n_layer, 2);
  EXPECT_EQ(b.n_head, 4);
  EXPECT_EQ(b.n_embd, 32);
  EXPECT_EQ(b.block_size, 24);
  EXPECT_EQ(b.vocab_size, 300);
  EXPECT_TRUE(b.bias);
  EXPECT_TRUE(b.tie_head);
  EXPECT_EQ(b.activation, Activation::kGeluTanh);
  EXPECT_EQ(b.dropout, 0.1);
  EXPECT_FALSE(b.attn_dropout.has_value());
  EXPECT_EQ(b.norm_eps, 1e-5);
  EXPECT_EQ(state.vocab_size, 300);
  EXPECT_EQ(state.step, 0);
  EXPECT_EQ(state.config.preset, "gpt2");
  EXPECT_EQ((*state.tokenizer)["kind"], "bpe");
}

TEST_F(HuggingFaceTest, TensorsAreOursByNameAndTransposed) {
  std::vector<OwnedTensor> theirs = tensors_in(copy() + "/model.safetensors");
  std::vector<OwnedTensor> ours = tensors_in(imported(temp_ / "tiny") + "/model.safetensors");
  ASSERT_EQ(ours.size(), theirs.size());
  EXPECT_TRUE(tensor_named(ours, "token_table.0.weight").bytes ==
              tensor_named(theirs, "transformer.wte.weight").bytes);
  EXPECT_EQ(tensor_named(ours, "norm_mid.1.bias").bytes,
            tensor_named(theirs, "transformer.h.1.ln_2.bias").bytes);
  const OwnedTensor& qkv = tensor_named(ours, "attention.1.qkv.weight");
  const OwnedTensor& c_attn = tensor_named(theirs, "transformer.h.1.attn.c_attn.weight");
  EXPECT_THAT(qkv.shape, ElementsAre(96, 32));
  EXPECT_THAT(c_attn.shape, ElementsAre(32, 96));
  for (const size_t i : {0, 5, 95})
    for (const size_t j : {0, 7, 31})
      EXPECT_EQ(qkv.bytes.substr(4 * (i * 32 + j), 4), c_attn.bytes.substr(4 * (j * 96 + i), 4));
}

TEST_F(HuggingFaceTest, ImportThenExportGivesTheSameFile) {
  const std::string checkpoint = imported(copy());
  const ExportReport report = exported(checkpoint);
  EXPECT_THAT(report.files, ElementsAre("config.json", "merges.txt", "model.safetensors",
                                        "tokenizer.json", "tokenizer_config.json", "vocab.json"));
  EXPECT_THAT(report.notices, IsEmpty());
  EXPECT_TRUE(same_bytes(temp_ / "out/model.safetensors", golden_model() + "/model.safetensors"));
  EXPECT_TRUE(same_bytes(temp_ / "out/merges.txt", golden_model() + "/merges.txt"));
  EXPECT_EQ(json_file(temp_ / "out/vocab.json"), json_file(golden_model() + "/vocab.json"));
  EXPECT_EQ(json_file(temp_ / "out/tokenizer.json"), json_file(golden_model() + "/tokenizer.json"));
  const json given = json_file(golden_model() + "/config.json");
  const json written = json_file(temp_ / "out/config.json");
  for (const auto& [key, value] : given.items())
    EXPECT_EQ(written.value(key, json()), value) << key;
  EXPECT_EQ(written["tie_word_embeddings"], true);
  // And in again.
  const std::string again = imported(temp_ / "out", "again");
  EXPECT_TRUE(same_bytes(again + "/model.safetensors", checkpoint + "/model.safetensors"));
  EXPECT_TRUE(same_bytes(again + "/state.json", checkpoint + "/state.json"));
}

TEST_F(HuggingFaceTest, TextsBecomeTheSameTokens) {
  const auto tokenizer = Tokenizer::from_json(*read_hugging_face(golden_model()).tokenizer);
  const json recorded = json_file(golden_model() + "/expected.json");
  for (const json& text : recorded.at("texts"))
    EXPECT_EQ(json(tokenizer->encode(text["text"].get<std::string>())), text["ids"]) << text;
}

TEST_F(HuggingFaceTest, TwoFilesTellTheSameTokenizer) {
  const std::string folder = copy();
  const json one = *read_hugging_face(folder).tokenizer;
  fs::remove(folder + "/tokenizer.json");
  EXPECT_EQ(*read_hugging_face(folder).tokenizer, one);
  fs::remove(folder + "/vocab.json");
  const ImportedModel without = read_hugging_face(folder);
  EXPECT_EQ(without.tokenizer, nullptr);
  EXPECT_THAT(without.notices, ElementsAre(HasSubstr("has no tokenizer")));
}

TEST_F(HuggingFaceTest, OlderFilesHaveNoPrefixAndBuffers) {
  const std::string folder = copy(), plain = imported(folder, "plain");
  change_tensors(folder, [](std::vector<OwnedTensor>& tensors) {
    for (OwnedTensor& t : tensors) t.name.erase(0, std::strlen("transformer."));
    tensors.push_back({"h.0.attn.bias", Dtype::U8, {1, 1, 2, 2}, std::string(4, '\1')});
    tensors.push_back({"h.0.attn.masked_bias", Dtype::F32, {}, std::string(4, '\0')});
    OwnedTensor head = tensor_named(tensors, "wte.weight");
    head.name = "lm_head.weight";
    tensors.push_back(head);
  });
  EXPECT_TRUE(same_bytes(imported(folder) + "/model.safetensors", plain + "/model.safetensors"));
}

TEST_F(HuggingFaceTest, HalvesAreWidenedExactly) {
  EXPECT_EQ(float_of_half(0x3C00), 1.0f);
  EXPECT_EQ(float_of_half(0xC000), -2.0f);
  EXPECT_EQ(float_of_half(0x0001), std::ldexp(1.0f, -24));
  EXPECT_EQ(float_of_half(0x83FF), -std::ldexp(1023.0f, -24));
  EXPECT_EQ(float_of_half(0x7BFF), 65504.0f);
  EXPECT_TRUE(std::isinf(float_of_half(0xFC00)) && float_of_half(0xFC00) < 0);
  EXPECT_TRUE(std::isnan(float_of_half(0x7E00)));
  EXPECT_TRUE(std::signbit(float_of_half(0x8000)));
  EXPECT_EQ(float_of_bfloat16(0x3FC0), 1.5f);

  const std::string folder = copy();
  change_tensors(folder, [](std::vector<OwnedTensor>& tensors) {
    OwnedTensor& norm = tensor_named(tensors, "transformer.ln_f.weight");
    norm.dtype = Dtype::F16;
    norm.bytes.clear();
    for (int i = 0; i < 32; ++i) norm.bytes += std::string("\x00\x3E", 2);  // 1.5
    OwnedTensor& map = tensor_named(tensors, "transformer.h.0.attn.c_proj.weight");
    map.dtype = Dtype::BF16;
    map.bytes.assign(2 * 32 * 32, '\0');
    map.bytes[2 * (3 * 32 + 5) + 1] = '\x40';  // 2 from input 3 to output 5
  });
  std::vector<OwnedTensor> ours = tensors_in(imported(folder) + "/model.safetensors");
  float value = 0;
  std::memcpy(&value, tensor_named(ours, "norm_out.0.weight").bytes.data() + 4 * 31, 4);
  EXPECT_EQ(value, 1.5f);
  std::memcpy(&value, tensor_named(ours, "attention.0.out.weight").bytes.data() + 4 * (5 * 32 + 3),
              4);
  EXPECT_EQ(value, 2.0f);
}

TEST_F(HuggingFaceTest, AnUntiedHeadIsAHead) {
  const std::string folder = copy();
  change_tensors(folder, [](std::vector<OwnedTensor>& tensors) {
    OwnedTensor head = tensor_named(tensors, "transformer.wte.weight");
    head.name = "lm_head.weight";
    head.bytes[3] ^= 1;
    tensors.push_back(head);
  });
  EXPECT_THAT(refusal(folder), HasSubstr("lm_head.weight is not wte.weight"));
  change_json(folder + "/config.json", [](json& j) { j["tie_word_embeddings"] = false; });
  const std::string checkpoint = imported(folder);
  EXPECT_FALSE(load_state(checkpoint).config.model.backbone.tie_head);
  exported(checkpoint);
  EXPECT_TRUE(same_bytes(temp_ / "out/model.safetensors", folder + "/model.safetensors"));
  EXPECT_EQ(json_file(temp_ / "out/config.json")["tie_word_embeddings"], false);
}

TEST_F(HuggingFaceTest, ModelsWithoutBiasesComeBackWithoutThem) {
  const std::string checkpoint = trained([](RunState& s) { s.config.model.backbone.bias = false; });
  EXPECT_THAT(exported(checkpoint).notices, ElementsAre(HasSubstr("written as zeros")));
  std::vector<OwnedTensor> theirs = tensors_in(temp_ / "out/model.safetensors");
  EXPECT_EQ(tensor_named(theirs, "transformer.h.1.mlp.c_fc.bias").bytes, std::string(4 * 32, '\0'));
  const std::string again = imported(temp_ / "out");
  EXPECT_FALSE(load_state(again).config.model.backbone.bias);
  EXPECT_TRUE(same_bytes(again + "/model.safetensors", checkpoint + "/model.safetensors"));

  // Left out they do as well, all or none.
  change_tensors(temp_ / "out", [](std::vector<OwnedTensor>& tensors) {
    std::vector<OwnedTensor> kept;
    for (const OwnedTensor& t : tensors)
      if (t.name.find(".bias") == std::string::npos) kept.push_back(t);
    tensors = kept;
  });
  change_json(temp_ / "out/config.json", [](json& j) { j.erase("fathom_bias"); });
  EXPECT_TRUE(same_bytes(imported(temp_ / "out", "bare") + "/model.safetensors",
                         checkpoint + "/model.safetensors"));
  change_tensors(temp_ / "out", [](std::vector<OwnedTensor>& tensors) {
    tensors.push_back({"transformer.ln_f.bias", Dtype::F32, {8}, std::string(32, '\0')});
  });
  EXPECT_THAT(refusal(temp_ / "out"), HasSubstr("is missing, but others of its kind are there"));
}

TEST_F(HuggingFaceTest, ZerosThatAreTheModelsOwnBiasesStay) {
  const std::string folder = copy();
  change_json(folder + "/config.json", [](json& j) { j["fathom_bias"] = false; });
  EXPECT_THAT(refusal(folder), HasSubstr("config.json says fathom_bias = false, but"));
}

TEST_F(HuggingFaceTest, EveryTokenizerComesBack) {
  for (const json& tokenizer :
       {json{{"kind", "byte"}}, json{{"kind", "char"}, {"characters", "\n abcé"}},
        make_bpe_tokenizer("bpe", train_bpe("the rain, the rain, the hill", 261))->to_json()}) {
    fs::remove_all(temp_ / "out");
    exported(trained([&](RunState& s) {
      s.tokenizer = std::make_shared<const json>(tokenizer);
      s.vocab_size = 300;
    }));
    EXPECT_EQ(*read_hugging_face(temp_ / "out").tokenizer, tokenizer);
  }
}

TEST_F(HuggingFaceTest, WhatIsNoGpt2IsNotExported) {
  const auto refused = [&](const std::function<void(ModelConfig&)>& change) {
    const std::string checkpoint = trained([&](RunState& s) { change(s.config.model); });
    const Error error = caught([&] { exported(checkpoint); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_FALSE(fs::exists(temp_ / "out"));
    return std::string(error.what());
  };
  EXPECT_THAT(refused([](ModelConfig& m) {
                m.backbone.tie_head = false;
                m.backbone.head_bias = true;
              }),
              HasSubstr("head_bias = true"));
  EXPECT_THAT(refused([](ModelConfig& m) {
                m.halting.rule = HaltRule::kMax;
                m.early_exit.layer_contexts = {1, 2};
              }),
              HasSubstr("layer_contexts = [1, 2], halt_rule = \"max\""));
  EXPECT_THAT(refused([](ModelConfig& m) {
                m.wiring.wiring = "r = r + A(n)*M(n)";
                m.wiring.positions = Positions::kNone;
              }),
              HasSubstr("wiring = \"r = r + A(n)*M(n)\", positions = \"none\""));
  ModelConfig spelled;
  spelled.wiring.wiring = "u = r + A(n); r = u + M(N(u))";
  EXPECT_THAT(beyond_gpt2(spelled), IsEmpty()) << "GPT-2's own block";
  // How it was trained does not matter.
  ModelConfig all;
  all.supervision.layer_supervision = {"all", {}};
  EXPECT_THAT(beyond_gpt2(all), IsEmpty());
}

TEST_F(HuggingFaceTest, NothingIsReplacedUnasked) {
  const std::string checkpoint = trained([](RunState&) {});
  exported(checkpoint);
  EXPECT_THAT(caught([&] { exported(checkpoint); }).hint(), HasSubstr("--force"));
  spill(temp_ / "out/merges.txt", "old");
  export_hugging_face(checkpoint, temp_ / "out/", /*replace=*/true);
  EXPECT_EQ(slurp(temp_ / "out/merges.txt"), "#version: 0.2\n");
  spill(temp_ / "out/thesis.tex", "years");
  EXPECT_THAT(
      caught([&] { export_hugging_face(checkpoint, temp_ / "out", /*replace=*/true); }).what(),
      HasSubstr("holds \"thesis.tex\""));
  EXPECT_EQ(slurp(temp_ / "out/thesis.tex"), "years");
  // Beside it, nothing.
  for (const std::string& entry : temp_.entries()) EXPECT_NE(entry.front(), '.') << entry;
}

TEST_F(HuggingFaceTest, OtherModelsAreRefusedByName) {
  EXPECT_THAT(refusal_of("model_type", "llama"), HasSubstr("model_type = \"llama\" is not gpt2"));
  EXPECT_THAT(refusal_of("activation_function", "relu"),
              HasSubstr("activation_function = \"relu\" is not one"));
  EXPECT_THAT(refusal_of("n_inner", 64), HasSubstr("n_inner = 64"));
  EXPECT_THAT(refusal_of("scale_attn_weights", false), HasSubstr("scale_attn_weights = false"));
  EXPECT_THAT(refusal_of("scale_attn_by_inverse_layer_idx", true),
              HasSubstr("scale_attn_by_inverse_layer_idx = true"));
  EXPECT_THAT(refusal_of("n_ctx", 12), HasSubstr("n_positions = 24 and n_ctx = 12 differ"));
  EXPECT_THAT(refusal_of("n_head", 5), HasSubstr("not divisible by n_head = 5"));
  EXPECT_THAT(refusal_of("n_layer", 3), HasSubstr("transformer.h.2."));
  EXPECT_THAT(refusal_of("n_layer", 1), HasSubstr("has no \"transformer.h.1."));
  EXPECT_THAT(refusal_of("n_layer", 9999), HasSubstr("too few for n_layer = 9999"));
  EXPECT_THAT(refusal_of("n_embd", nullptr), HasSubstr("n_embd is missing"));
  EXPECT_THAT(refusal_of("n_embd", "wide"), HasSubstr("n_embd = \"wide\""));
  EXPECT_THAT(refusal_of("vocab_size", 1e300), HasSubstr("vocab_size"));
  EXPECT_THAT(refusal_of("vocab_size", 299), HasSubstr("wte.weight is [300, 32]"));
  const std::string wrong = refusal_of("layer_norm_epsilon", 2);
  EXPECT_THAT(wrong, HasSubstr("odd/config.json: norm_eps = 2"));
}

TEST_F(HuggingFaceTest, DamagedWeightsAreRefusedByName) {
  const std::string folder = copy();
  change_tensors(folder, [](std::vector<OwnedTensor>& tensors) {
    OwnedTensor& t = tensor_named(tensors, "transformer.wpe.weight");
    t.bytes.replace(40, 4, std::string("\0\0\x80\x7f", 4));
  });
  EXPECT_THAT(refusal(folder), HasSubstr("\"transformer.wpe.weight\" holds a number that is not"));
  change_tensors(folder, [](std::vector<OwnedTensor>& tensors) {
    tensors.push_back({"transformer.h.0.attn.rotary", Dtype::F32, {1}, std::string(4, '\0')});
  });
  EXPECT_THAT(refusal(folder), HasSubstr("has no \"transformer.h.0.attn.rotary\""));
  EXPECT_FALSE(fs::exists(temp_ / "checkpoint"));
}

TEST_F(HuggingFaceTest, AFolderThatIsNoneSaysWhatItLacks) {
  EXPECT_THAT(refusal(temp_ / "nowhere"), HasSubstr("there is no folder"));
  const std::string folder = copy();
  fs::remove(folder + "/model.safetensors");
  EXPECT_THAT(refusal(folder), HasSubstr("has no model.safetensors"));
  spill(folder + "/ckpt.pt", "x");
  EXPECT_THAT(caught([&] { read_hugging_face(folder); }).hint(),
              HasSubstr("pickles are never read: docs/import.md"));
}

TEST_F(HuggingFaceTest, APresetOfAnotherArchitectureIsRefused) {
  const ImportedModel model = read_hugging_face(golden_model());
  EXPECT_EQ(imported_state(model, "quickstart").config.training.max_iters, 2000);
  const Error error = caught([&] { imported_state(model, "papingo"); });
  EXPECT_THAT(error.what(), HasSubstr("papingo is no preset of a plain GPT-2"));
}

}  // namespace
}  // namespace fathom::testing
