# What a predictor of programs is trained with on a processor: 1 block, 32 wide, 4 operations.
# `fathom train dag_predictor config/train_predictor_config.py`
# On a large GPU add: --dag_depth=6 --n_head=12 --n_embd=768 --block_size=128 --batch_size=1024
#                     --gradient_accumulation_steps=16 --learning_rate=1e-3 --min_lr=1e-5
#                     --dropout=0.1 --value_range=[-10000,10000] --max_iters=50000
#                     --lr_decay_iters=50000 --warmup_iters=5000
dataset = 'numbers'
numbers_tokenizer = 'gpt2'
vocab_size = 50304
value_range = [-10.0, 10.0]
english_conversion_rate = 0.3
permutation_probability = 0.0
train_seed = 42
val_seed = 43

# program
dag_depth = 4
softmax_temperature = 20.0
sign_loss_weight = 1.0
log_loss_weight = 1.0
op_loss_weight = 1.0

# model
n_layer = 1
n_head = 1
n_embd = 32
block_size = 32
dropout = 0.0
bias = False

# batches and optimiser
batch_size = 4
gradient_accumulation_steps = 1
learning_rate = 3e-4
min_lr = 3e-5
warmup_iters = 500
lr_decay_iters = 10000
max_iters = 10000
weight_decay = 1e-1
decay_rule = 'all'
beta1 = 0.9
beta2 = 0.95
grad_clip = 1.0

# evaluation
eval_interval = 500
eval_iters = 50
log_interval = 10
check_nans = True
wandb_log = False
