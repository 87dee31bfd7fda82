// Submits one intent through the Redis stream: go run intents.go
// (go get github.com/redis/go-redis/v9)
package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/redis/go-redis/v9"
)

func main() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	intent, _ := json.Marshal(map[string]any{
		"type": "game.turn.ready", "producer": "lobby", "recipients": []string{"user-7"},
		"data": map[string]any{"turn": 12}, "idempotency_key": "g5/turn-12",
	})
	id, err := client.XAdd(context.Background(), &redis.XAddArgs{
		Stream: "gn:intents", Values: map[string]any{"intent": intent},
	}).Result()
	fmt.Println(id, err)
}
